// The output that a run draws with `view` events: a box for each target. The client's view layer writes into the boxes,
// and its sanitiser decides which of a guest's HTML is allowed.

import { View, sanitize, updatesOf } from "../streamtask.js";
import { h } from "./dom.js";
import { jsonView } from "./json-tree.js";

/** Most targets; limited because a guest chooses the names. */
const MAX_TARGETS = 50;
/** Characters of a target's name. */
const MAX_NAME = 100;

export class OutputPanel {
  constructor() {
    this.boxes = new Map();
    this.empty = h("p", { class: "empty" }, "No output.");
    this.state = h("section", { class: "drawn", "aria-label": "State", hidden: true });
    // A scrollable box must be reachable with the keyboard.
    this.element = h("div", { class: "output", tabindex: "0", role: "region", "aria-label": "Output" }, this.empty, this.state);
    this.view = new View(this.element, { sanitize: plainHtml });
  }

  /** Number of boxes. */
  get targets() {
    return this.boxes.size + (this.state.hidden ? 0 : 1);
  }

  /** Applies the data of a `view` event. */
  take(data) {
    for (const update of updatesOf(data)) {
      if (update.op === "state") this.#showState(update.state);
      else if (typeof update.target === "string" && this.#box(update.target)) this.view.apply(update);
    }
  }

  /** The run has ended, so no target is still being written. */
  finish() {
    this.view.finish();
  }

  close() {}

  #box(name) {
    if (this.boxes.has(name)) return true;
    if (this.boxes.size >= MAX_TARGETS || name.length > MAX_NAME) return false;
    this.empty.hidden = true;
    const target = h("div", { class: "drawn-content", "data-stream": name, "data-loading-class": "is-written" });
    const box = h("section", { class: "drawn", "aria-label": name }, h("h3", null, name), target);
    this.boxes.set(name, box);
    this.element.insertBefore(box, this.state);
    return true;
  }

  /** The newest state, at most once a frame. */
  #showState(state) {
    this.newestState = state;
    this.empty.hidden = true;
    this.state.hidden = false;
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      this.state.replaceChildren(h("h3", null, "state"), jsonView(this.newestState, { label: "state" }));
    });
  }
}

/** HTML without the attributes that would make it look like a part of this page. */
function plainHtml(html) {
  const fragment = sanitize(html);
  for (const element of fragment.querySelectorAll("[class], [id], [role], [data-loading-class]")) {
    for (const name of ["class", "id", "role", "data-loading-class"]) element.removeAttribute(name);
  }
  return fragment;
}
