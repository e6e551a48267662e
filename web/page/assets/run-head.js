// The head of a run's page: name, status, actions and facts.

import { hostNow } from "./api.js";
import { cancelRun, pauseRun, removeRun, retryRun, sendSignal, setParameter } from "./actions.js";
import { button, fill, h, icon, setText } from "./dom.js";
import { ago, moment, runTime, shortId, shortVersion } from "./format.js";
import { copy } from "./notices.js";
import { isEnded, labelTags, statusBadge } from "./status.js";

/** @param {() => void} refresh called after an action, when the run may have changed */
export function runHead(refresh) {
  let run = null;
  const status = h("span", { role: "status", class: "head-status" });
  const task = h("a");
  const id = h("h1", { class: "mono" });
  const time = h("dd", { class: "num" });
  const created = h("time");
  const facts = h("dl", { class: "run-facts" });
  const stream = h("span", { class: "stream" });
  const then = (action) => async () => {
    await action(run);
    refresh();
  };
  const buttons = {
    pause: button("Pause", { icon: "pause" }, then((run) => pauseRun(run, true))),
    resume: button("Resume", { icon: "play" }, then((run) => pauseRun(run, false))),
    signal: button("Signal", { icon: "send" }, then(sendSignal)),
    parameter: button("Parameter", { icon: "key" }, then(setParameter)),
    retry: button("Retry", { icon: "again", title: "Start a new run with the same input" }, then(retryRun)),
    edit: h("a", { class: "button" }, icon("edit"), "Edit and run again"),
    remove: button("Delete", { icon: "trash" }, then(removeRun)),
    cancel: button("Cancel", { icon: "stop", class: "danger-quiet" }, then(cancelRun)),
  };
  const element = h(
    "header",
    { class: "run-head" },
    h("div", { class: "run-title" }, status, h("div", { class: "run-name" }, task, h("div", { class: "run-id" }, id, button("", { icon: "copy", class: "quiet icon-only", label: "Copy the run ID" }, () => copy(run.id, "run ID")))), stream),
    h("div", { class: "actions", role: "group", "aria-label": "Actions" }, Object.values(buttons)),
    facts,
  );
  let drawn = "";

  function draw() {
    fill(status, statusBadge(run));
    task.href = `#/tasks/${run.app}/${run.task}`;
    setText(task, `${run.app}/${run.task}`);
    setText(id, shortId(run.id));
    id.title = run.id;
    created.dateTime = run.created_at;
    const over = isEnded(run);
    const asked = run.cancel_requested_at !== null;
    buttons.pause.hidden = over || run.status === "paused" || asked;
    buttons.resume.hidden = over || run.status !== "paused";
    buttons.signal.hidden = over;
    buttons.parameter.hidden = over;
    buttons.cancel.hidden = over;
    buttons.cancel.disabled = asked;
    buttons.retry.hidden = !over;
    buttons.edit.hidden = !over;
    buttons.edit.href = `#/tasks/${run.app}/${run.task}?from=${encodeURIComponent(run.id)}`;
    buttons.remove.hidden = !over;
    fill(facts, factsOf(run, created, time));
  }

  return {
    element,
    update: (next) => {
      run = next;
      const look = JSON.stringify([run.status, run.cancel_requested_at, run.attempt, run.version, run.waits_for, run.not_before, run.started_at, run.finished_at]);
      if (look !== drawn) {
        // A focused button that gets hidden loses the keyboard focus.
        const focused = element.contains(document.activeElement) ? document.activeElement : null;
        draw();
        if (focused?.hidden) element.querySelector(".actions :is(button, a):not([hidden], :disabled)")?.focus();
      }
      drawn = look;
      tick();
    },
    tick,
    /** Shows the state of the stream; an empty text if it works. */
    setStream: (text, state = "", detail = "") => {
      stream.className = `stream ${state === "live" && run && !isEnded(run) ? "is-live" : ""}`;
      stream.title = detail;
      setText(stream, text || (state === "live" && run && !isEnded(run) ? "live" : ""));
    },
  };

  function tick() {
    if (!run) return;
    setText(created, ago(run.created_at, hostNow()));
    created.title = moment(run.created_at);
    setText(time, runTime(run, hostNow()) || "–");
  }
}

function factsOf(run, created, time) {
  const fact = (name, value) => h("div", null, h("dt", null, name), value instanceof HTMLElement && value.tagName === "DD" ? value : h("dd", null, value));
  const labels = Object.keys(run.labels).length > 0;
  const waits = !isEnded(run) && run.status !== "running";
  return [
    fact("Created", created),
    fact("Time", time),
    run.attempt > 0 && fact("Attempt", String(run.attempt)),
    run.version && fact("Version", h("code", { title: run.version }, shortVersion(run.version))),
    waits && run.waits_for && fact("Waiting for", h("code", null, run.waits_for)),
    waits && run.not_before && fact("Earliest start", moment(run.not_before)),
    run.priority !== 0 && fact("Priority", String(run.priority)),
    run.on_disconnect === "cancel" && !isEnded(run) && fact("When the last viewer leaves", "the run is cancelled"),
    run.parent && fact("Parent", h("a", { class: "mono", href: `#/runs/${encodeURIComponent(run.parent)}` }, shortId(run.parent))),
    labels && fact("Labels", h("span", { class: "tags" }, labelTags(run.labels))),
  ];
}
