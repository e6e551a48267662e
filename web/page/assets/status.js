// A run's status as the page shows it everywhere: a sign and a word, never colour alone.

import { h } from "./dom.js";

export const STATUSES = ["queued", "delayed", "running", "paused", "completed", "failed", "cancelled"];
const ENDED = ["completed", "failed", "cancelled"];

/** Whether the run has ended; an ended run never changes again. */
export const isEnded = (run) => ENDED.includes(run.status);

/** The word to show: `cancelling` for an active run that was asked to stop. */
export function statusWord(run) {
  return run.cancel_requested_at && !isEnded(run) ? "cancelling" : run.status;
}

/** The status as a sign with its word. */
export function statusBadge(run) {
  return h("span", { class: `status status-${run.status}` }, h("span", { class: "status-sign", "aria-hidden": "true" }), statusWord(run));
}

/** Labels as small tags. */
export function labelTags(labels) {
  return Object.entries(labels ?? {}).map(([key, value]) => h("span", { class: "tag" }, `${key}:${value}`));
}
