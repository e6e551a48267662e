// Which of a run's events a list shows: all, or those that pass a filter. What passes is remembered by number only, so
// a million of them are a few megabytes; the events themselves are the store's.

import { dataText } from "./event-store.js";

/** Most events that a filter finds; of more, the newest. */
const MAX_FOUND = 1_000_000;

/** Dispatches `change` when its events are others. */
export class Selection extends EventTarget {
  /**
   * @param {import("./event-store.js").EventStore} store
   * @param {(signal: AbortSignal) => AsyncIterable<any[]>} read the stored events from the beginning, in lists
   */
  constructor(store, read) {
    super();
    this.store = store;
    this.read = read;
    this.accepts = null;
    /** Numbers of events, in order. */
    this.found = [];
    this.search = null;
    this.held = null;
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

  /** How many events it has; while it is held, as many as when that began. */
  get size() {
    return this.held === null ? this.#size : Math.min(this.held, this.#size);
  }

  /** How many came while it is held. */
  get unseen() {
    return this.held === null ? 0 : this.#size - this.size;
  }

  /** Whether older events are still being looked through. */
  get searching() {
    return this.search !== null;
  }

  /** Shows what is there now and nothing that comes later, until told otherwise. */
  hold(hold) {
    this.held = hold ? this.#size : null;
    this.changed();
  }

  /** The number of the event at that place. */
  seq(place) {
    return this.accepts ? this.found[place] : this.store.first + place;
  }

  /** The event at that place, if it is in memory. */
  at(place) {
    return this.store.get(this.seq(place));
  }

  /** Shows only what `accepts` accepts; null shows all. */
  async filter(accepts) {
    this.search?.abort();
    this.search = null;
    this.accepts = accepts;
    this.found = [];
    const held = this.held !== null;
    this.held = null;
    if (accepts) await this.#look(accepts);
    if (held && this.accepts === accepts) this.hold(true);
    this.changed();
  }

  /** Looks through what is stored; what comes meanwhile is found as it comes. */
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

/** What a reader typed into the search: each word has to be in the type or the data. */
export function wordsFilter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return null;
  return (event) => {
    const type = event.type.toLowerCase();
    let data;
    return words.every((word) => type.includes(word) || (data ??= dataText(event).toLowerCase()).includes(word));
  };
}
