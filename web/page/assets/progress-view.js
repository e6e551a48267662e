// A run's progress as bars: one for the run, and one for each item in the tree below it.

import { fill, h, icon, setAttribute, setText } from "./dom.js";
import { count, duration } from "./format.js";

/** A list with more items than this scrolls; the style sheet limits its height. */
const SCROLLED_FROM = 10;
const ICON = { waiting: "ring", running: "play", completed: "check", failed: "alert", skipped: "skip", cancelled: "skip" };

/** @returns {{ element: HTMLElement, update: (progress: import("../streamtask.js").Progress, timeLeft: import("./time-left.js").TimeLeft, nowMs: number, isOver: boolean) => void }} */
export function progressView() {
  const percent = h("span", { class: "num" });
  const left = h("span", { class: "muted num" });
  const message = h("p", { class: "progress-message" });
  const bar = progressBar("Progress of the run");
  const list = h("ul", { class: "items", "aria-label": "Parts of the run" });
  const rows = new Map();
  const element = h(
    "section",
    { class: "panel progress", "aria-labelledby": "progress-title", hidden: true },
    h("div", { class: "progress-head" }, h("h2", { id: "progress-title" }, "Progress"), left, percent),
    bar.element,
    message,
    list,
  );

  return {
    element,
    update: (progress, timeLeft, nowMs, isOver) => {
      element.classList.toggle("is-over", isOver);
      element.hidden = progress.items.size === 0;
      if (element.hidden) return;
      const { roots, fraction } = progress.tree();
      const leftMs = timeLeft.look(fraction, nowMs);
      setText(percent, fraction === undefined ? "" : `${Math.floor(fraction * 100)} %`);
      setText(left, leftMs === undefined || isOver ? "" : `about ${duration(leftMs)} left`);
      bar.update(fraction, "running");
      const whole = progress.items.get("");
      setText(message, whole ? itemText(whole) : "");
      message.hidden = message.textContent === "";
      const order = flat(roots.filter((root) => root.item !== whole || root.parts.length > 0));
      list.hidden = order.length === 0;
      // A scrollable list must be reachable with the keyboard.
      setAttribute(list, "tabindex", order.length > SCROLLED_FROM ? 0 : null);
      draw(list, rows, order);
    },
  };
}

/** The nodes in the order of their rows. */
function flat(roots) {
  const order = [];
  const left = roots.map((node) => ({ node, depth: 0 })).reverse();
  while (left.length > 0) {
    const { node, depth } = left.pop();
    order.push({ ...node, depth });
    for (const part of [...node.parts].reverse()) left.push({ node: part, depth: depth + 1 });
  }
  return order;
}

function draw(list, rows, order) {
  let before = null;
  for (const node of order) {
    let row = rows.get(node.item.id);
    if (!row) rows.set(node.item.id, (row = itemRow(node.item)));
    row.update(node);
    const next = before ? before.nextSibling : list.firstChild;
    if (next !== row.element) list.insertBefore(row.element, next);
    before = row.element;
  }
}

function itemRow(item) {
  const sign = h("span", { class: "item-sign" });
  const message = h("span", { class: "item-message" });
  const state = h("span", { class: "item-state num muted" });
  const bar = progressBar(item.id);
  const element = h("li", null, sign, h("span", { class: "item-name", title: item.id }, item.id || "the run"), message, state, bar.element);
  let drawn = "";
  return {
    element,
    update: ({ item: { status, message: text, ...item }, fraction, depth }) => {
      const known = status === "waiting" ? fraction || undefined : fraction;
      const look = [status, text, item.done, item.total, known, depth].join("\u0000");
      if (look === drawn) return;
      drawn = look;
      element.className = `item item-${status}`;
      element.style.setProperty("--depth", String(Math.min(depth, 8)));
      fill(sign, icon(ICON[status]));
      setText(message, text ?? "");
      const percent = known === undefined ? "" : `${Math.floor(known * 100)} %`;
      setText(state, status === "running" || status === "completed" ? [steps(item), percent].filter(Boolean).join(" · ") : status);
      bar.update(known, status);
      setAttribute(element, "title", text || null);
    },
  };
}

const steps = (item) => (item.done !== undefined && item.total !== undefined ? `${count(item.done)} / ${count(item.total)}` : item.done !== undefined ? count(item.done) : "");
const itemText = (item) => [steps(item), item.message].filter(Boolean).join(" · ");

function progressBar(label) {
  const inner = h("span", { class: "bar-fill" });
  const element = h("div", { class: "progress-bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, inner);
  return {
    element,
    update: (fraction, status) => {
      setAttribute(element, "aria-valuenow", fraction === undefined ? null : Math.floor(fraction * 100));
      element.classList.toggle("is-unknown", fraction === undefined && status === "running");
      inner.style.setProperty("width", `${100 * (fraction ?? 0)}%`);
    },
  };
}
