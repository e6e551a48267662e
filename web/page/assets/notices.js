// Short notices at the edge of the page, and dialogs, such as the confirmation of an action that can't be undone.

import { button, h, icon } from "./dom.js";

/** How long a notice stays, in milliseconds; an error stays until it is closed. */
const STAY_MS = 4000;
/** Most notices at once. */
const MAX_NOTICES = 4;

/** Shows a notice. */
export function notify(message, { kind = "info" } = {}) {
  const region = document.getElementById("toasts");
  const notice = h(
    "div",
    { class: `toast toast-${kind}` },
    icon(kind === "error" ? "alert" : "check"),
    h("span", null, message),
    button("", { icon: "close", class: "quiet icon-only", label: "Close" }, () => notice.remove()),
  );
  region.append(notice);
  while (region.children.length > MAX_NOTICES) region.firstChild.remove();
  if (kind !== "error") setTimeout(() => notice.remove(), STAY_MS);
}

/** Runs an action and shows a notice if it fails. Returns whether it succeeded. */
export async function attempt(what, action) {
  try {
    await action();
    return true;
  } catch (error) {
    notify(`${what}: ${error.message}`, { kind: "error" });
    return false;
  }
}

/** Copies a text to the clipboard. */
export async function copy(text, label = "text") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS, browsers offer the clipboard API only on localhost.
    const area = h("textarea", { class: "offscreen", value: text, "aria-hidden": "true", tabindex: "-1" });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus?.();
    if (!copied) return notify("The browser does not allow this page to copy", { kind: "error" });
  }
  notify(`Copied the ${label}`);
}

/**
 * Shows a dialog.
 * @param {{ title: string, body: any[], action: string, danger?: boolean, busy?: string,
 *   onsubmit: (form: HTMLFormElement, closed: AbortSignal) => Promise<void> }} what
 *   If `onsubmit` throws, the dialog stays open and shows the error's message; `busy` is the button's text until it returns.
 * @returns {Promise<boolean>} whether it was submitted
 */
export function dialog({ title, body, action, danger = false, busy = action, onsubmit }) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const submit = h("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
  const close = () => element.close();
  const form = h(
    "form",
    { method: "dialog", novalidate: true },
    h("h2", { id: "dialog-title" }, title),
    h("div", { class: "dialog-body", id: "dialog-body" }, body),
    problem,
    h("div", { class: "dialog-actions" }, h("button", { type: "button", on: { click: close } }, "Back"), submit),
  );
  // A screen reader reads a form field by field, but the text of a confirmation at once.
  const element = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": danger ? "dialog-body" : null }, form);
  const closed = new AbortController();
  let done = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    submit.textContent = busy;
    problem.hidden = true;
    try {
      await onsubmit(form, closed.signal);
      done = true;
      element.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      submit.disabled = false;
      submit.textContent = action;
    }
  });
  document.body.append(element);
  element.showModal();
  return new Promise((resolve) => {
    element.addEventListener("close", () => {
      element.remove();
      closed.abort();
      resolve(done);
    });
  });
}

/** Asks for confirmation of an action that can't be undone; `text` is a sentence, or elements. */
export function confirm({ title, text, action, busy, onsubmit }) {
  return dialog({ title, body: typeof text === "string" ? [h("p", null, text)] : text, action, busy, danger: true, onsubmit });
}
