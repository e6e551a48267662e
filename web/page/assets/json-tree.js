// A JSON value as a tree. It folds with <details>, which works with the keyboard and screen readers. Members are created
// when they are unfolded, because a value may have a million of them.

import { button, h } from "./dom.js";
import { copy } from "./notices.js";

/** Members that are shown at once. */
const MEMBERS = 100;
/** Characters of a string that are shown at once. */
const CHARS = 2000;
/** A value of at most this many characters on one line is shown unfolded. */
const OPEN_CHARS = 400;

/** The value with a button that copies it. */
export function jsonView(value, { label = "value" } = {}) {
  const text = () => JSON.stringify(value, null, 2) ?? "null";
  return h(
    "div",
    { class: "json" },
    button("", { icon: "copy", class: "quiet icon-only json-copy", label: `Copy the ${label} as JSON` }, () => copy(text(), label)),
    node(value, { open: true, depth: 0 }),
  );
}

function node(value, { key, open, depth }) {
  const name = key === undefined ? null : [h("span", { class: "json-key" }, key), h("span", { class: "json-mark" }, ": ")];
  if (value === null || typeof value !== "object") return h("div", { class: "json-line" }, name, scalar(value));
  const keys = Array.isArray(value) ? null : Object.keys(value);
  const size = keys ? keys.length : value.length;
  const [begin, end] = keys ? ["{", "}"] : ["[", "]"];
  if (size === 0) return h("div", { class: "json-line" }, name, h("span", { class: "json-mark" }, begin + end));
  const body = h("div", { class: "json-body" });
  const details = h(
    "details",
    { class: "json-node" },
    h(
      "summary",
      null,
      name,
      h("span", { class: "json-mark" }, begin),
      h("span", { class: "json-fold" }, keys ? preview(keys) : `${size} ${size === 1 ? "item" : "items"}`),
      h("span", { class: "json-mark json-end" }, end),
    ),
    body,
    h("div", { class: "json-mark" }, end),
  );
  const parts = () => {
    if (body.firstChild) return;
    addMembers(body, value, keys, 0, depth);
  };
  details.addEventListener("toggle", () => details.open && parts());
  if (open && (depth === 0 || isShort(value))) {
    details.open = true;
    parts();
  }
  return details;
}

function addMembers(body, value, keys, from, depth) {
  const size = keys ? keys.length : value.length;
  const to = Math.min(size, from + MEMBERS);
  for (let at = from; at < to; at += 1) {
    const key = keys ? keys[at] : String(at);
    body.append(node(value[key], { key, open: depth < 2, depth: depth + 1 }));
  }
  if (to === size) return;
  const more = button(`${Math.min(MEMBERS, size - to)} more of ${size - to}`, { class: "quiet" }, () => {
    more.remove();
    addMembers(body, value, keys, to, depth);
  });
  body.append(more);
}

function scalar(value) {
  if (typeof value !== "string") return h("span", { class: value === null ? "json-null" : "json-number" }, String(value));
  const text = h("span", { class: "json-string" }, JSON.stringify(value.slice(0, CHARS)));
  if (value.length <= CHARS) return text;
  const more = button(`${value.length - CHARS} more characters`, { class: "quiet" }, () => {
    text.textContent = JSON.stringify(value);
    more.remove();
  });
  return h("span", null, text, " ", more);
}

function preview(keys) {
  const some = keys.slice(0, 4).join(", ");
  return keys.length > 4 ? `${some}, … ${keys.length} in all` : some;
}

/** Whether the value fits on a line of OPEN_CHARS; stops at the first character too many. */
function isShort(value) {
  let left = OPEN_CHARS;
  const look = (part) => {
    if (part === null || typeof part !== "object") left -= typeof part === "string" ? part.length + 2 : 5;
    else {
      for (const key in part) {
        left -= key.length + 4;
        if (left > 0) look(part[key]);
        if (left <= 0) return;
      }
    }
  };
  look(value);
  return left > 0;
}
