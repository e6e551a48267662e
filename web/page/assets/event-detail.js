// The details of one event.

import { button, h } from "./dom.js";
import { bytes as sizeText, clock, moment } from "./format.js";
import { jsonView } from "./json-tree.js";
import { copy } from "./notices.js";

/** Image types that can't contain scripts. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
/** Most bytes of a text that are shown; Save writes all of them. */
const TEXT_BYTES = 64 << 10;

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

/** The message of a log line, with its line breaks; null for other events. */
function messageView(event) {
  const text = event.type === "log" ? event.data?.message : event.type === "output" ? event.data : null;
  return typeof text === "string" ? h("pre", { class: "message" }, text) : null;
}

function bytesView(event) {
  const type = String(event.content_type).split(";")[0].trim().toLowerCase();
  const bytes = Uint8Array.from(atob(event.data), (char) => char.charCodeAt(0));
  return h(
    "div",
    { class: "bytes" },
    h("p", null, `${event.content_type}, ${sizeText(bytes.length)} `, button("Save", { icon: "end", class: "quiet" }, () => save(bytes, type, event))),
    PICTURES.includes(type) && h("img", { class: "picture", alt: `Image in event ${event.seq}`, src: `data:${type};base64,${event.data}` }),
    isText(type) && h("pre", { class: "message" }, new TextDecoder().decode(bytes.subarray(0, TEXT_BYTES)), bytes.length > TEXT_BYTES && " …"),
  );
}

const isText = (type) => type.startsWith("text/") || type === "application/json" || type === "application/x-ndjson";

/** Saves the bytes as a file. The page never opens it, because a guest wrote it. */
function save(bytes, type, event) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const end = type.split("/")[1]?.replace(/^x-|^svg\+/, "").replace(/[^a-z0-9]/g, "") || "bin";
  h("a", { href: url, download: `${event._task_id}-${event.seq}.${end === "plain" ? "txt" : end}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
