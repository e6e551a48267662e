// The start page: the runs with their filters, and the tasks beside them.

import * as api from "./api.js";
import { cancelRun } from "./actions.js";
import { button, fill, h, setText } from "./dom.js";
import { ago, count, moment, runTime, shortId } from "./format.js";
import { attempt } from "./notices.js";
import { RunList } from "./run-list.js";
import { STATUSES, isEnded, labelTags, statusBadge } from "./status.js";
import { watchTasks } from "./task-list.js";
import { taskPanel } from "./task-panel.js";

const TIMES = { "": "Any time", 900: "Last 15 minutes", 3600: "Last hour", 86400: "Last 24 hours", 604800: "Last 7 days" };

/** @param {{ query: URLSearchParams, setQuery: (query: URLSearchParams) => void }} route */
export function homeView(route) {
  const filter = Object.fromEntries(["task", "status", "label", "within"].map((name) => [name, route.query.get(name) ?? ""]));
  const tasks = taskPanel({ compact: true });
  const body = h("tbody");
  const rows = new Map();
  const none = h("p");
  const all = h("a", { href: "#/" }, "All runs");
  const empty = h("div", { class: "empty", hidden: true }, none, all);
  const olderText = h("span", null, "Show older runs");
  const older = button(olderText, { class: "wide" }, () => attempt("Could not load older runs", () => list.older()));
  const total = h("span", { class: "muted", role: "status" });
  const list = new RunList(() => draw());
  const controls = filterControls(filter, () => {
    const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
    route.setQuery(query);
    list.show(filter);
  });

  function draw() {
    const seen = new Set();
    let before = null;
    for (const run of list.runs) {
      seen.add(run.id);
      let row = rows.get(run.id);
      if (!row) rows.set(run.id, (row = runRow(list)));
      row.update(run);
      const next = before ? before.nextSibling : body.firstChild;
      if (next !== row.element) body.insertBefore(row.element, next);
      before = row.element;
    }
    for (const [id, row] of rows) {
      if (seen.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    older.hidden = !list.hasOlder;
    // Not disabled, because a disabled button loses the keyboard focus.
    setText(olderText, list.asking ? "Loading…" : "Show older runs");
    empty.hidden = !list.isLoaded || list.runs.length > 0;
    table.hidden = list.runs.length === 0;
    all.hidden = !Object.values(filter).some(Boolean);
    setText(none, all.hidden ? "No runs yet. Choose a task to start one." : "No runs match this filter.");
    setText(total, list.isLoaded ? `${count(list.runs.length)} shown${list.hasOlder ? ", more available" : ""}` : "Loading…");
  }

  const table = h(
    "table",
    { class: "runs", hidden: true },
    h("thead", null, h("tr", null, ["Status", "Run", "Task", "Created", "Time"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "offscreen" }, "Actions")))),
    body,
  );
  const element = h(
    "div",
    { class: "home" },
    h("section", { class: "home-runs", "aria-labelledby": "runs-title" }, h("div", { class: "head" }, h("h1", { id: "runs-title" }, "Runs"), total), controls, table, empty, older),
    h("aside", { class: "home-tasks", "aria-label": "Tasks" }, tasks.element),
  );
  // Relative times advance even if no run changes.
  const ticking = setInterval(() => rows.forEach((row) => row.tick()), 1000);
  const stopTasks = watchTasks((listed) => {
    tasks.update(listed);
    controls.setTasks(listed.tasks);
  });
  draw();
  list.show(filter);
  return {
    title: "Runs",
    element,
    close: () => {
      clearInterval(ticking);
      stopTasks();
      list.close();
    },
  };
}

function filterControls(filter, changed) {
  const set = (name) => (event) => {
    filter[name] = event.target.value.trim();
    changed();
  };
  const option = (value, text, name) => h("option", { value, selected: filter[name] === value }, text);
  const task = h("select", { "aria-label": "Task", on: { change: set("task") } });
  const label = h("input", {
    type: "search", placeholder: "Label (key:value)", "aria-label": "Label", value: filter.label, spellcheck: "false", autocomplete: "off",
    on: {
      change: (event) => {
        const text = event.target.value.trim();
        const wrong = text !== "" && !/^[^:]+:/.test(text);
        event.target.setAttribute("aria-invalid", String(wrong));
        event.target.title = wrong ? "Enter a label as key:value" : "";
        if (!wrong) set("label")(event);
      },
    },
  });
  const element = h(
    "div",
    { class: "filters", role: "search", "aria-label": "Filter runs" },
    task,
    h("select", { "aria-label": "Status", on: { change: set("status") } }, option("", "Any status", "status"), STATUSES.map((status) => option(status, status, "status"))),
    label,
    h("select", { "aria-label": "Created", on: { change: set("within") } }, Object.entries(TIMES).sort((a, b) => Number(a[0]) - Number(b[0])).map(([value, text]) => option(value, text, "within"))),
  );
  let known = null;
  element.setTasks = (tasks) => {
    const names = tasks.filter((listed) => listed.app && listed.task).map((listed) => `${listed.app}/${listed.task}`);
    if (filter.task && !names.includes(filter.task)) names.push(filter.task);
    if (known === names.join()) return;
    known = names.join();
    fill(task, option("", "Any task", "task"), [...new Set(names)].map((name) => option(name, name, "task")));
  };
  element.setTasks([]);
  return element;
}

/** A table row: drawn once, then updated where its run has changed. */
function runRow(list) {
  const status = h("td", { class: "cell-status" });
  const link = h("a", { class: "mono" });
  const labels = h("span", { class: "tags" });
  const task = h("a");
  const created = h("time");
  const time = h("td", { class: "cell-time num" });
  let run = null;
  const cancel = button("", { icon: "stop", class: "quiet icon-only", label: "Cancel" }, async () => {
    if (await cancelRun(run)) list.refresh();
  });
  const element = h("tr", null, status, h("td", { class: "cell-run" }, link, labels), h("td", { class: "cell-task" }, task), h("td", { class: "cell-created muted" }, created), time, h("td", { class: "cell-actions" }, cancel));
  let drawn = "";
  const tick = () => {
    setText(created, ago(run.created_at, api.hostNow()));
    setText(time, runTime(run, api.hostNow()));
  };
  return {
    element,
    tick,
    update: (next) => {
      // In a long list, few runs change at a time.
      if (next === run) return;
      run = next;
      const look = [run.status, run.cancel_requested_at, run.started_at, run.finished_at, run.attempt].join();
      if (look !== drawn) {
        drawn = look;
        fill(status, statusBadge(run));
        link.href = `#/runs/${encodeURIComponent(run.id)}`;
        link.title = run.id;
        setText(link, shortId(run.id));
        fill(labels, labelTags(run.labels), run.attempt > 1 && h("span", { class: "tag" }, `attempt ${run.attempt}`));
        task.href = `#/tasks/${run.app}/${run.task}`;
        setText(task, `${run.app}/${run.task}`);
        created.dateTime = run.created_at;
        created.title = moment(run.created_at);
        cancel.hidden = isEnded(run) || run.cancel_requested_at !== null;
        cancel.setAttribute("aria-label", `Cancel ${run.id}`);
        element.classList.toggle("is-active", !isEnded(run));
      }
      tick();
    },
  };
}
