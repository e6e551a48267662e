// One event in full.

import { button, h } from "./dom.js";
import { clock, count, moment } from "./format.js";
import { jsonView } from "./json-tree.js";
import { copy } from "./notices.js";

/** Pictures that a browser draws without running anything. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];

export function eventDetail(event, close) {
  const facts = [
    moment(event.timestamp) && h("time", { datetime: event.timestamp, title: moment(event.timestamp) }, clock(event.timestamp)),
    event.attempt > 0 && `attempt ${event.attempt}`,
    event.channel && `channel ${event.channel}`,
  ].filter(Boolean);
  return [
    h(
      "div",
      { class: "detail-head" },
      h("strong", { class: "mono" }, `#${event.seq}`),
      h("span", { class: "detail-type" }, event.type),
      facts.map((fact) => h("span", { class: "muted" }, fact)),
      h("span", { class: "spring" }),
      button("", { icon: "copy", class: "quiet icon-only", label: "Copy the event" }, () => copy(JSON.stringify(event, null, 2), "event")),
      button("", { icon: "close", class: "quiet icon-only", label: "Close the event" }, close),
    ),
    event.content_type ? bytesView(event) : messageView(event) ?? jsonView(event.data, { label: "data" }),
  ];
}

/** A log's message is read as it was written. */
function messageView(event) {
  const text = event.type === "log" ? event.data?.message : event.type === "output" ? event.data : null;
  return typeof text === "string" ? h("pre", { class: "message" }, text) : null;
}

function bytesView(event) {
  const type = String(event.content_type).split(";")[0].trim().toLowerCase();
  const picture = PICTURES.includes(type) && h("img", { class: "picture", alt: `A picture that event ${event.seq} carries`, src: `data:${type};base64,${event.data}` });
  return h("div", null, h("p", null, `${event.content_type}, ${count(Math.floor((event.data.length * 3) / 4))} bytes`), picture, !picture && jsonView(event.data, { label: "Base64" }));
}
