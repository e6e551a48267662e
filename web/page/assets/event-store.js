// The events of one run that are in memory: the newest, and the pages of older ones that the user has scrolled to. An event
// is identified by its `seq`, which has no gaps, so a missing event is known by its number and fetched from the host.

/** Events of a page. */
export const PAGE = 256;
/** Most pages in memory. */
const MAX_PAGES = 80;
/** Most characters of data in memory, in all pages. */
const MAX_CHARS = 32 << 20;
/** Most concurrent requests for pages. The browser shares six connections among all tabs. */
const MAX_FETCHES = 2;
/** Pause before a failed request for a page is repeated, in milliseconds. */
const RETRY_MS = 2000;

const pageOf = (seq) => Math.floor((seq - 1) / PAGE);

/** Dispatches `change` when events arrive or the range changes, and `loaded` when older events have been loaded. */
export class EventStore extends EventTarget {
  /** @param {(after: number, count: number) => Promise<{ events: any[], gapTo: number }>} fetchPage */
  constructor(fetchPage) {
    super();
    this.fetchPage = fetchPage;
    /** The oldest and the newest event that the host stores. */
    this.first = 1;
    this.last = 0;
    /** By page number, the least recently used first. */
    this.pages = new Map();
    this.chars = 0;
    this.fetching = new Set();
    this.wanted = [];
    /** Called with each event in order, before it can be evicted. */
    this.watchers = new Set();
  }

  /** Adds events after the newest. */
  append(events) {
    for (const event of events) {
      if (event.seq <= this.last) continue;
      this.last = event.seq;
      this.#put(event);
      for (const watch of this.watchers) watch(event);
    }
    this.#evict();
    this.dispatchEvent(new Event("change"));
  }

  /** The host no longer stores the events of these numbers. A gap at the start shortens the list; a later one stays in it. */
  gap(from, to) {
    if (from <= this.first) this.first = Math.max(this.first, to + 1);
    this.last = Math.max(this.last, to);
    this.dispatchEvent(new Event("change"));
  }

  /** An event, if it is in memory. */
  get(seq) {
    return this.pages.get(pageOf(seq))?.events[(seq - 1) % PAGE];
  }

  /** Fetches the events of these numbers if they are not in memory, and drops requests that have not begun. */
  want(seqs) {
    const missing = new Set();
    for (const seq of seqs) {
      const page = pageOf(seq);
      const kept = this.pages.get(page);
      if (kept?.events[(seq - 1) % PAGE] || kept?.isFetched) this.#touch(page, kept);
      else if (!this.fetching.has(page)) missing.add(page);
    }
    this.wanted = [...missing];
    this.#fetch();
  }

  #fetch() {
    while (this.wanted.length > 0 && this.fetching.size < MAX_FETCHES) {
      const page = this.wanted.shift();
      this.fetching.add(page);
      this.fetchPage(page * PAGE, PAGE)
        .then(({ events, gapTo }) => {
          for (const event of events) if (pageOf(event.seq) === page) this.#put(event);
          // An event that is missing now is not stored.
          if (page !== pageOf(this.last)) this.#page(page).isFetched = true;
          if (gapTo) this.gap(1, gapTo);
          this.#evict();
          this.fetching.delete(page);
          this.dispatchEvent(new Event("loaded"));
        })
        .catch((error) => {
          console.warn(error);
          this.fetching.delete(page);
          setTimeout(() => this.dispatchEvent(new Event("loaded")), RETRY_MS);
        })
        .finally(() => this.#fetch());
    }
  }

  #put(event) {
    const page = this.#page(pageOf(event.seq));
    const place = (event.seq - 1) % PAGE;
    if (page.events[place]) return;
    const chars = dataText(event).length + event.type.length;
    page.events[place] = event;
    page.chars += chars;
    this.chars += chars;
  }

  #page(number) {
    let page = this.pages.get(number);
    if (!page) {
      page = { events: [], chars: 0, isFetched: false };
      this.pages.set(number, page);
    }
    return page;
  }

  #touch(number, page) {
    this.pages.delete(number);
    this.pages.set(number, page);
  }

  /** Evicts pages over the limits. The newest page stays, because it still grows. */
  #evict() {
    const newest = pageOf(this.last);
    for (const [number, page] of this.pages) {
      if (this.pages.size <= MAX_PAGES && this.chars <= MAX_CHARS) return;
      if (number === newest) continue;
      this.pages.delete(number);
      this.chars -= page.chars;
    }
  }
}

const texts = new WeakMap();
/** An event's data as JSON on one line; cached, because it is searched, shown and measured. */
export function dataText(event) {
  let text = texts.get(event);
  if (text === undefined) {
    try {
      text = JSON.stringify(event.data) ?? "null";
    } catch {
      text = "(nested too deeply to be shown)";
    }
    texts.set(event, text);
  }
  return text;
}
