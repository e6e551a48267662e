// The actions on a run, with their dialogs.

import * as api from "./api.js";
import { h } from "./dom.js";
import { shortId } from "./format.js";
import { attempt, confirm, dialog, notify } from "./notices.js";

/** Cancels a run, after a confirmation. */
export function cancelRun(run) {
  return confirm({
    title: `Cancel ${shortId(run.id)}?`,
    text: "The run is asked to stop. If it has not stopped when its grace period is over, the host stops it.",
    action: "Cancel the run",
    onsubmit: () => api.cancel(run.id),
  });
}

/** Pauses or resumes a run. */
export function pauseRun(run, paused) {
  return attempt(paused ? "Could not pause the run" : "Could not resume the run", () => (paused ? api.pause(run.id) : api.resume(run.id)));
}

/** Starts a new run with the input of an ended one, and opens its page. */
export function retryRun(run) {
  return attempt("Could not start a run", async () => {
    const id = await api.retry(run.id);
    notify(`Started ${shortId(id)}`);
    location.hash = `#/runs/${encodeURIComponent(id)}`;
  });
}

/** Deletes an ended run with its events and files, after a confirmation. */
export async function removeRun(run) {
  const removed = await confirm({
    title: `Delete ${shortId(run.id)}?`,
    text: "This permanently deletes the run, its events and its files. Its ID can then be used again.",
    action: "Delete the run",
    onsubmit: () => api.remove(run.id),
  });
  if (removed) {
    notify("Deleted");
    location.hash = "#/";
  }
}

/** Sends a signal, with a name and payload from a dialog. */
export function sendSignal(run) {
  return message({
    title: "Send a signal",
    hint: "The signal is queued until the run receives it.",
    payload: "Payload (JSON)",
    action: "Send",
    send: (name, value) => api.signal(run.id, name, value),
    done: (name) => `Sent signal ${name}`,
  });
}

/** Sets a parameter, with a name and value from a dialog. */
export function setParameter(run) {
  return message({
    title: "Set a parameter",
    hint: "The run sees the new value the next time it reads the parameter.",
    payload: "Value (JSON)",
    action: "Set",
    send: (name, value) => api.setParameter(run.id, name, value),
    done: (name) => `Set parameter ${name}`,
  });
}

function message({ title, hint, payload, action, send, done }) {
  const name = h("input", { type: "text", id: "message-name", required: true, autocomplete: "off", spellcheck: "false" });
  const value = h("textarea", { id: "message-value", class: "code", rows: 4, spellcheck: "false", placeholder: "null" });
  return dialog({
    title,
    body: [
      h("p", { class: "muted" }, hint),
      h("div", { class: "field" }, h("label", { for: "message-name" }, "Name"), name),
      h("div", { class: "field" }, h("label", { for: "message-value" }, payload), value),
    ],
    action,
    onsubmit: async () => {
      if (name.value === "") throw new Error("Enter a name");
      let json = null;
      try {
        json = value.value.trim() === "" ? null : JSON.parse(value.value);
      } catch (error) {
        throw new Error(`Not valid JSON: ${error.message}`);
      }
      await send(name.value, json);
      notify(done(name.value));
    },
  });
}
