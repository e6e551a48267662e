// The events that a list shows: all of a run's, or those that pass a filter. It keeps only the numbers of matching events,
// so a million matches take a few megabytes; the store holds the events themselves.

import { dataText } from "./event-store.js";

/** Most matches that are kept; the oldest are dropped. */
const MAX_FOUND = 1_000_000;

/** Dispatches `change` when its events change. */
export class Selection extends EventTarget {
  /**
   * @param {import("./event-store.js").EventStore} store
   * @param {(signal: AbortSignal) => AsyncIterable<any[]>} reads the stored events from the beginning, in batches
   */
  constructor(store, read) {
    super();
    this.store = store;
    this.read = read;
    this.accepts = null;
    /** Numbers of the matching events, in order. */
    this.found = [];
    this.search = null;
    this.frozenSize = null;
    this.watch = (event) => {
      if (!this.accepts?.(event)) return;
      this.found.push(event.seq);
      if (this.found.length > 2 * MAX_FOUND) this.found.splice(0, MAX_FOUND);
    };
    this.changed = () => this.dispatchEvent(new Event("change"));
    store.watchers.add(this.watch);
    store.addEventListener("change", this.changed);
    store.addEventListener("loaded", this.changed);
  }

  close() {
    this.search?.abort();
    this.store.watchers.delete(this.watch);
    this.store.removeEventListener("change", this.changed);
    this.store.removeEventListener("loaded", this.changed);
  }

  get #size() {
    if (this.accepts) return this.found.length;
    return Math.max(0, this.store.last - this.store.first + 1);
  }

  /** The number of events; while frozen, the number when it was frozen. */
  get size() {
    return this.frozenSize === null ? this.#size : Math.min(this.frozenSize, this.#size);
  }

  /** The number of events that arrived while it is frozen. */
  get unseen() {
    return this.frozenSize === null ? 0 : this.#size - this.size;
  }

  /** Whether a search through older events is in progress. */
  get searching() {
    return this.search !== null;
  }

  /** Freezes the selection, so that it shows no later events, or unfreezes it. */
  freeze(on) {
    this.frozenSize = on ? this.#size : null;
    this.changed();
  }

  /** The number of the event at an index. */
  seq(place) {
    return this.accepts ? this.found[place] : this.store.first + place;
  }

  /** The event at an index, if it is in memory. */
  at(place) {
    return this.store.get(this.seq(place));
  }

  /** Shows only the events that `accepts` accepts; null shows all. */
  async filter(accepts) {
    this.search?.abort();
    this.search = null;
    this.accepts = accepts;
    this.found = [];
    const wasFrozen = this.frozenSize !== null;
    this.frozenSize = null;
    if (accepts) await this.#look(accepts);
    if (wasFrozen && this.accepts === accepts) this.freeze(true);
    this.changed();
  }

  /** Searches the stored events; `watch` matches those that arrive meanwhile. */
  async #look(accepts) {
    const search = new AbortController();
    this.search = search;
    const until = this.store.last;
    if (this.#isComplete()) {
      for (let seq = this.store.first; seq <= until; seq += 1) {
        if (accepts(this.store.get(seq))) this.found.push(seq);
      }
      this.search = null;
      return;
    }
    const older = [];
    this.changed();
    try {
      for await (const batch of this.read(search.signal)) {
        for (const event of batch) if (event.seq <= until && accepts(event)) older.push(event.seq);
        if (batch.at(-1)?.seq >= until) break;
      }
    } catch (error) {
      if (!search.signal.aborted) console.warn(error);
    }
    if (this.search !== search) return;
    this.found = older.slice(-MAX_FOUND).concat(this.found);
    this.search = null;
  }

  #isComplete() {
    for (let seq = this.store.first; seq <= this.store.last; seq += 1) if (!this.store.get(seq)) return false;
    return true;
  }
}

/** A filter from the text in the search field: the type or the data must contain each word. */
export function wordsFilter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return null;
  return (event) => {
    const type = event.type.toLowerCase();
    let data;
    return words.every((word) => type.includes(word) || (data ??= dataText(event).toLowerCase()).includes(word));
  };
}
