// The events of a run as a list, with a filter, a search, a freeze button, a copy button and the details of one event.

import { button, fill, h, icon, setAttribute, setText } from "./dom.js";
import { eventDetail } from "./event-detail.js";
import { dataText } from "./event-store.js";
import { base64Size, bytes, clock, count } from "./format.js";
import { copy } from "./notices.js";
import { Selection, wordsFilter } from "./selection.js";
import { VirtualList } from "./virtual-list.js";

/** Height of a row in pixels; the style sheet has the same. */
const ROW_HEIGHT = 24;
/** Characters of the data that a row shows. */
const ROW_CHARS = 400;
/** Most events that are copied at once. */
const MAX_COPIED = 10_000;
/** Pause after a key before a search begins, in milliseconds. */
const TYPING_MS = 200;

/** The columns of a row in the list of all events. */
export const allEvents = {
  label: "Events",
  text: (event) => (event.content_type ? `${event.content_type}, ${bytes(base64Size(event.data))}` : dataText(event).slice(0, ROW_CHARS)),
  kind: (event) => event.type,
  tone: (event) => (event.type.startsWith("run.") ? "host" : event.type === "log" ? logTone(event.data) : ""),
};

/** The columns of a row in the log. */
export const logLines = {
  label: "Log",
  base: (event) => event.type === "log" || event.type === "output",
  text: (event) => (typeof event.data === "string" ? event.data : String(event.data?.message ?? dataText(event))).slice(0, ROW_CHARS),
  kind: (event) => (event.type === "output" ? "stdout" : String(event.data?.level ?? event.data?.stream ?? "")),
  tone: (event) => (event.type === "log" ? logTone(event.data) : ""),
};

function logTone(data) {
  const level = data?.level ?? data?.stream;
  if (level === "error") return "error";
  if (level === "warn" || level === "stderr") return "warn";
  return level === "host" ? "host" : "";
}

export class EventPanel {
  /**
   * @param {import("./event-store.js").EventStore} store
   * @param {typeof allEvents & { base?: (event: any) => boolean }} look
   * @param {(signal: AbortSignal) => AsyncIterable<any[]>} read the stored events from the beginning
   */
  constructor(store, look, read) {
    this.look = look;
    this.store = store;
    this.selection = new Selection(store, read);
    this.type = "";
    this.words = null;
    /** Index of the event whose details are shown, and whether they are drawn yet. */
    this.opened = -1;
    this.isDetailed = false;
    this.list = new VirtualList({
      label: look.label,
      rowHeight: ROW_HEIGHT,
      row: eventRow,
      draw: (row, place) => this.#drawRow(row, place),
      wanted: (from, to) => this.#want(from, to),
      opened: (place) => this.#open(place),
      atEnd: (atEnd) => this.#atEnd(atEnd),
    });
    this.detail = h("div", { class: "event-detail", hidden: true });
    this.element = h("div", { class: "events" }, this.#toolbar(), this.list.element, this.empty, this.detail);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.detail.hidden) return;
      this.#open(-1);
      this.list.element.focus();
    });
    // Batches of events can arrive several times between two frames.
    this.selection.addEventListener("change", () => {
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        this.#changed();
      });
    });
    if (look.base) this.#filter();
    this.#changed();
  }

  /** The panel has become visible again. */
  shown() {
    this.list.shown();
  }

  close() {
    clearTimeout(this.typing);
    cancelAnimationFrame(this.frame);
    this.selection.close();
    this.list.close();
  }

  #toolbar() {
    this.types = h("select", { "aria-label": "Type", hidden: Boolean(this.look.base), on: { change: () => this.#setType() } }, h("option", { value: "" }, "All types"));
    this.knownTypes = new Set();
    const search = h("input", {
      type: "search", placeholder: "Search", "aria-label": `Search ${this.look.label.toLowerCase()}`, spellcheck: "false", autocomplete: "off",
      on: {
        input: () => {
          clearTimeout(this.typing);
          this.typing = setTimeout(() => this.#setWords(search.value), TYPING_MS);
        },
      },
    });
    this.freeze = button("Freeze", { icon: "pause", title: "Stop showing new events", "aria-pressed": "false", class: "toggle" }, () => this.#freeze());
    this.end = button("", { icon: "end", class: "icon-only", label: "Jump to end", hidden: true }, () => {
      if (this.selection.frozenSize !== null) this.#freeze();
      this.list.toEnd();
    });
    this.state = h("span", { class: "muted num events-state" });
    this.empty = h("p", { class: "empty", hidden: true });
    const copyAll = button("", { icon: "copy", class: "icon-only", label: "Copy these events" }, () => this.#copy());
    return h("div", { class: "toolbar", role: "group", "aria-label": `${this.look.label}: filter and view` }, this.types, search, this.freeze, copyAll, this.end, this.state);
  }

  /** Adds an event type to the filter's choices. */
  addType(type) {
    if (this.knownTypes.has(type) || this.knownTypes.size >= 200) return;
    this.knownTypes.add(type);
    const options = [...this.types.options];
    const next = options.find((option) => option.value > type);
    this.types.insertBefore(h("option", { value: type }, type), next ?? null);
  }

  #setType() {
    this.type = this.types.value;
    this.#filter();
  }

  #setWords(text) {
    this.words = wordsFilter(text);
    this.#filter();
  }

  #filter() {
    const { base } = this.look;
    const { type, words } = this;
    const isAll = !base && !type && !words;
    this.#open(-1);
    this.list.sticky = true;
    this.selection.filter(isAll ? null : (event) => (!base || base(event)) && (!type || event.type === type) && (!words || words(event)));
  }

  #freeze() {
    const freezes = this.selection.frozenSize === null;
    this.selection.freeze(freezes);
    // On unfreezing, show the events that arrived meanwhile; opening a row may have stopped the list from following the end.
    if (!freezes) this.list.toEnd();
    setAttribute(this.freeze, "aria-pressed", String(freezes));
    fill(this.freeze, icon(freezes ? "play" : "pause"), freezes ? "Unfreeze" : "Freeze");
    this.#changed();
  }

  #atEnd(atEnd) {
    if (this.end.hidden !== atEnd) this.end.hidden = atEnd;
  }

  #changed() {
    const { size, unseen, searching } = this.selection;
    this.list.update(size);
    if (this.opened >= 0 && !this.isDetailed && this.selection.at(this.opened)) this.#showDetail();
    const isFiltered = this.selection.accepts && (this.type || this.words);
    const of = isFiltered ? ` of ${count(this.store.last)}` : "";
    const gone = !this.look.base && !isFiltered && this.store.first > 1 ? ` · the first ${count(this.store.first - 1)} are no longer stored` : "";
    setText(this.state, searching ? "Searching…" : unseen > 0 ? `${count(unseen)} new` : `${count(size)}${of}${gone}`);
    this.empty.hidden = size > 0;
    setText(this.empty, searching ? "Searching…" : isFiltered ? "No matching events." : this.look.base ? "No log entries." : "No events yet.");
  }

  #want(from, to) {
    const seqs = [];
    for (let place = from; place < to; place += 1) seqs.push(this.selection.seq(place));
    this.store.want(seqs);
  }

  #drawRow(row, place) {
    const event = this.selection.at(place);
    const [number, time, kind, text] = row.children;
    setText(number, String(this.selection.seq(place)));
    setText(time, event ? clock(event.timestamp) : "");
    setText(kind, event ? this.look.kind(event) : "");
    setText(text, event ? this.look.text(event) : "…");
    row.dataset.tone = event ? this.look.tone(event) : "missing";
  }

  #open(place) {
    this.list.choose(place);
    this.detail.hidden = place < 0;
    this.opened = place;
    this.isDetailed = false;
    if (place < 0) return;
    this.#showDetail();
    this.list.reveal(place);
  }

  /** Shows the open event's details; if it is not in memory, once it has been loaded. */
  #showDetail() {
    const event = this.selection.at(this.opened);
    this.isDetailed = event !== undefined;
    if (!event) return fill(this.detail, h("p", { class: "muted" }, "Loading…"));
    fill(this.detail, eventDetail(event, () => {
      this.#open(-1);
      this.list.element.focus();
    }));
    this.detail.scrollTop = 0;
  }

  /** Copies the newest shown events that are in memory, as lines of JSON. */
  #copy() {
    const lines = [];
    let chars = 0;
    for (let place = this.selection.size - 1; place >= 0 && lines.length < MAX_COPIED && chars < 8 << 20; place -= 1) {
      const event = this.selection.at(place);
      if (!event) break;
      lines.push(JSON.stringify(event));
      chars += lines.at(-1).length;
    }
    const all = lines.length === this.selection.size;
    copy(lines.reverse().join("\n"), all ? `${count(lines.length)} events` : `newest ${count(lines.length)} of ${count(this.selection.size)} events`);
  }
}

function eventRow() {
  return h("div", { class: "event" }, h("span", { class: "event-seq num" }), h("span", { class: "event-time num" }), h("span", { class: "event-type" }), h("span", { class: "event-text" }));
}
