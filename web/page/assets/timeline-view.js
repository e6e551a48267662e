// The attempts of a run as bars on a common time scale.

import { fill, h, setAttribute } from "./dom.js";
import { duration, moment, shortVersion } from "./format.js";

/** A list with more attempts than this scrolls; the style sheet limits its height. */
const SCROLLED_FROM = 3;

/** @returns {{ element: HTMLElement, update: (attempts: import("./timeline.js").Attempt[], nowMs: number, ended: boolean) => void }} */
export function timelineView() {
  const list = h("ol", { class: "attempts", "aria-labelledby": "attempts-title" });
  const element = h("section", { class: "panel", "aria-labelledby": "attempts-title" }, h("h2", { id: "attempts-title" }, "Attempts"), list);
  let drawn = "";
  return {
    element,
    update: (attempts, nowMs, ended) => {
      // While the run is active, redraw once a second; a bar does not visibly move more often.
      const now = ended ? 0 : Math.floor(nowMs / 1000);
      const look = JSON.stringify([now, attempts]);
      if (look === drawn) return;
      drawn = look;
      const end = ended ? attempts.at(-1).to : nowMs;
      const scale = { from: attempts[0].from, length: Math.max(1, end - attempts[0].from) };
      // A scrollable list must be reachable with the keyboard.
      setAttribute(list, "tabindex", attempts.length > SCROLLED_FROM ? 0 : null);
      fill(list, attempts.map((attempt, nth) => attemptRow(attempt, attempts[nth - 1], scale, end)));
    },
  };
}

function attemptRow(attempt, before, scale, end) {
  const isOther = before?.version && attempt.version && before.version !== attempt.version;
  const place = (from, to) => ({
    left: `${(100 * (from - scale.from)) / scale.length}%`,
    width: `${(100 * Math.max(0, to - from)) / scale.length}%`,
  });
  const spans = attempt.spans.map((span) => {
    const to = span.to ?? end;
    return h("span", { class: `span span-${span.kind}`, style: place(span.from, to), title: `${span.kind} ${duration(to - span.from)}` });
  });
  const marks = attempt.marks.map((mark) => h("span", { class: "mark", style: { left: place(mark.at, mark.at).left }, title: `${mark.text}, ${moment(mark.at)}` }));
  const state = attempt.outcome ?? attempt.state ?? attempt.spans.at(-1).kind;
  const ran = attempt.spans.filter((span) => span.kind === "running").reduce((sum, span) => sum + (span.to ?? end) - span.from, 0);
  const others = ["queued", "delayed", "paused"]
    .map((kind) => [kind, attempt.spans.filter((span) => span.kind === kind).reduce((sum, span) => sum + (span.to ?? end) - span.from, 0)])
    .filter(([, ms]) => ms >= 100 && !attempt.isPartial)
    .map(([kind, ms]) => `${kind} ${duration(ms)}`);
  return h(
    "li",
    { class: "attempt" },
    h(
      "div",
      { class: "attempt-head" },
      h("span", { class: "attempt-number" }, `Attempt ${attempt.number}`),
      h("span", { class: `attempt-state state-${state}` }, state),
      h("span", { class: "num muted" }, attempt.isPartial ? "…" : ran > 0 ? duration(ran) : "–"),
    ),
    h("div", { class: "track", "aria-hidden": "true" }, spans, marks),
    (others.length > 0 || isOther) && h("div", { class: "attempt-more muted" }, others.join(" · "), isOther && h("code", { title: attempt.version }, `version ${shortVersion(attempt.version)}`)),
    // The last attempt's error is the run's error, which the page shows above.
    attempt.outcome === "retried" && attempt.error && h("div", { class: "attempt-error" }, h("code", null, attempt.error.kind), ` ${attempt.error.message ?? ""}`),
  );
}
