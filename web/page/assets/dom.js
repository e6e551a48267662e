// Creates elements. Data from guests and clients of the host only ever becomes text: nothing in this page parses markup,
// except the `view` layer of /streamtask.js with its sanitiser.

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, any> | null} [props] attributes; `on` has listeners, `style` goes through the CSSOM, which a strict
 *   Content-Security-Policy allows. Null, undefined and false values are skipped.
 * @param {...any} children nodes or text; null and false are skipped
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replaces the content of `element` with `children`. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Sets a text only if it changes, so that an unchanged page is neither laid out nor read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute only if that changes something. */
export function setAttribute(element, name, value) {
  if (value === null || value === false || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : String(value));
}

// Line drawings on a 16 by 16 grid.
const ICONS = {
  play: "M5 3.5v9l7.5-4.5z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  stop: "M4 4h8v8H4z",
  again: "M12.7 6.2A5.2 5.2 0 1 0 13.2 8.6M12.9 3v3.4H9.5",
  edit: "M3 13l.7-2.9 6.8-6.8 2.2 2.2-6.8 6.8zM9.2 4.6l2.2 2.2",
  send: "M2.5 8l11-5-3.3 10.5-2.6-4.2z",
  copy: "M5.5 5.5h7.5v7.5H5.5zM3 10.5V3h7.5",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  close: "M4 4l8 8M12 4l-8 8",
  end: "M8 3v8M4.5 8L8 11.5 11.5 8M4 13.5h8",
  plus: "M8 3.5v9M3.5 8h9",
  check: "M3.5 8.5l3 3 6-7",
  alert: "M8 2.5l6 11H2zM8 6.5v3.2M8 11.6h.01",
  skip: "M3.5 4l4 4-4 4M8.5 4l4 4-4 4",
  ring: "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7",
  key: "M6 9.5a2.5 2.5 0 1 1 1.8-.7L9 10h1.5v1.5H12V13h1.5v-1.8L8 6.4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13 9.6A5.4 5.4 0 0 1 6.4 3 5.4 5.4 0 1 0 13 9.6z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 2.5v11M8 5.5h4.8M8 8h5.5M8 10.5h4.8",
};

/** One of the page's icons. It is hidden from screen readers, which read the text beside it or the button's label. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.ring);
  svg.append(path);
  return svg;
}

/** A button; `props.icon` names an icon; without `text`, `label` is read out by screen readers only. */
export function button(text, { icon: name, label, ...props } = {}, onclick) {
  const title = props.title ?? (text ? null : label);
  return h(
    "button",
    { type: "button", "aria-label": label, class: text ? null : "icon-only", ...props, title, on: { click: onclick } },
    name && icon(name),
    text,
  );
}

let ids = 0;
/** An id that no other element has. */
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
