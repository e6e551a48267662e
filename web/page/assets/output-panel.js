// What a run draws with `view` events.

import { h } from "./dom.js";

export class OutputPanel {
  constructor() {
    this.targets = 0;
    this.element = h("div", { class: "output" }, h("p", { class: "empty" }, "The run has drawn nothing."));
  }

  take() {}

  close() {}
}
