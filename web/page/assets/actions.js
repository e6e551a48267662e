// What can be done to a run, with the questions before it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { shortId } from "./format.js";
import { attempt, confirm, dialog, notify } from "./notices.js";

/** Asks, then asks the run to end. */
export function cancelRun(run) {
  return confirm({
    title: `Cancel ${shortId(run.id)}?`,
    text: "The run is asked to end. If it does not within the grace time, it is ended by force.",
    action: "Cancel the run",
    onsubmit: () => api.cancel(run.id),
  });
}

/** Holds a run, or lets it go on. */
export function holdRun(run, hold) {
  return attempt(hold ? "Not paused" : "Not resumed", () => (hold ? api.pause(run.id) : api.resume(run.id)));
}

/** Starts a run like one that has ended. Goes to it. */
export function retryRun(run) {
  return attempt("Not started", async () => {
    const id = await api.retry(run.id);
    notify(`Started ${shortId(id)}`);
    location.hash = `#/runs/${encodeURIComponent(id)}`;
  });
}

/** Asks, then removes an ended run with its events and files. */
export async function removeRun(run) {
  const removed = await confirm({
    title: `Delete ${shortId(run.id)}?`,
    text: "The run, its events and its files are removed for good. Its id can be used again.",
    action: "Delete the run",
    onsubmit: () => api.remove(run.id),
  });
  if (removed) {
    notify("Deleted");
    location.hash = "#/";
  }
}

/** Asks for a signal's name and payload, and sends it. */
export function sendSignal(run) {
  return message({
    title: "Send a signal",
    hint: "It waits until the run takes it.",
    payload: "Payload, JSON",
    action: "Send",
    send: (name, value) => api.signal(run.id, name, value),
    done: (name) => `Sent the signal ${name}`,
  });
}

/** Asks for a parameter's name and value, and sets it. */
export function setParameter(run) {
  return message({
    title: "Set a parameter",
    hint: "The run reads it when it next looks.",
    payload: "Value, JSON",
    action: "Set",
    send: (name, value) => api.setParameter(run.id, name, value),
    done: (name) => `Set the parameter ${name}`,
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
      if (name.value === "") throw new Error("A name is needed");
      let json = null;
      try {
        json = value.value.trim() === "" ? null : JSON.parse(value.value);
      } catch (error) {
        throw new Error(`This is not JSON: ${error.message}`);
      }
      await send(name.value, json);
      notify(done(name.value));
    },
  });
}
