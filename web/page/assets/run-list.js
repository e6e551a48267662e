// A filtered list of runs, newest first, kept up to date by the host's stream of the newest. Where there is none, these
// are asked for again and again.

import * as api from "./api.js";
import { poll } from "./poll.js";
import { NoStream, runStream, whileSeen } from "./run-stream.js";
import { isEnded } from "./status.js";

/** Pause before a stream that ended is opened again, and between two looks without one, in milliseconds. */
const EVERY_MS = 2000;
/** Looks without a stream before one is tried again: five minutes. */
const LOOKS_IN_A_ROW = 150;
/** Runs of one request. */
const LIMIT = 50;
/** Most runs in the list; who wants to see more narrows the filter. */
const MAX_RUNS = 1000;
/** Active runs below the newest that are looked at each time. */
const OLDER_AT_ONCE = 4;

export class RunList {
  /** @param {() => void} changed called when the list is another, at most once a frame */
  constructor(changed) {
    this.changed = changed;
    this.polling = null;
    this.frame = 0;
    this.#reset({});
  }

  #reset(filter) {
    this.filter = filter;
    this.runs = [];
    this.isLoaded = false;
    this.hasOlder = false;
    /** For the runs before the oldest; undefined if it is not known yet. */
    this.cursor = null;
    this.turn = 0;
    /** Looks until a stream is tried again. */
    this.looks = 0;
    this.generation = (this.generation ?? 0) + 1;
  }

  /** Shows what passes that filter: `task`, `status`, `label` as the host has them, `within` seconds from now. */
  show(filter) {
    this.#stop();
    this.#reset({ ...filter });
    this.changed();
    this.polling = poll((signal) => this.#update(signal), EVERY_MS);
    this.tending = poll((signal) => this.#tend(signal), EVERY_MS);
  }

  close() {
    this.generation += 1;
    this.#stop();
  }

  #stop() {
    this.polling?.stop();
    this.tending?.stop();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  /** Looks again at once, if nobody tells by himself. */
  refresh() {
    this.polling?.now();
  }

  #changedSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.changed();
    });
  }

  #query(more) {
    const { task, status, label } = this.filter;
    return { task: task || undefined, status: status || undefined, label: label || undefined, fields: "brief", limit: LIMIT, ...more };
  }

  /** The host lists by the order of creation, so what is too old is at the end. */
  #recent(runs) {
    if (!this.filter.within) return runs;
    const since = api.hostNow() - Number(this.filter.within) * 1000;
    return runs.filter((run) => Date.parse(run.created_at) >= since);
  }

  async #update(signal) {
    if (this.looks > 0) {
      this.looks -= 1;
      return this.#look(signal);
    }
    const seen = whileSeen(signal);
    try {
      await this.#follow(seen.signal);
    } catch (error) {
      if (signal.aborted || !seen.signal.aborted) {
        if (!(error instanceof NoStream)) throw error;
        this.looks = LOOKS_IN_A_ROW;
        return 1;
      }
    } finally {
      seen.close();
    }
  }

  // ---- told by the host

  async #follow(signal) {
    const generation = this.generation;
    /** The newest, until all of them are there; then changes come. */
    let snapshot = [];
    for await (const said of runStream(this.#query(), signal)) {
      if (generation !== this.generation) return;
      for (const { type, data } of said) {
        if (type === "run.list-complete") {
          this.#takeNewest({ runs: snapshot, next: data?.next ?? (snapshot.length < LIMIT ? null : undefined) });
          this.isLoaded = true;
          snapshot = null;
        } else if (type === "run.state") {
          if (snapshot) snapshot.push(data);
          else this.#put(data);
        } else if (type === "run.removed") {
          snapshot = snapshot && snapshot.filter((run) => run.id !== data.id);
          this.runs = this.runs.filter((run) => run.id !== data.id);
        }
      }
      if (!snapshot) this.#changedSoon();
    }
  }

  /** A run is new, or is another now. */
  #put(run) {
    const fits = (!this.filter.status || run.status === this.filter.status) && this.#recent([run]).length > 0;
    const place = this.runs.findIndex((one) => one.id === run.id);
    if (place >= 0) this.runs.splice(place, 1, ...(fits ? [run] : []));
    else if (fits) {
      const below = this.runs.findIndex((one) => isBefore(one, run));
      // Of those that are older than the list, none is there without the others.
      if (below < 0 && this.hasOlder) return;
      this.runs.splice(below < 0 ? this.runs.length : below, 0, run);
      this.runs.length = Math.min(this.runs.length, MAX_RUNS);
    }
  }

  // ---- asked for

  async #look(signal) {
    const generation = this.generation;
    const page = await api.runs(this.#query(), signal);
    if (generation !== this.generation) return;
    this.#takeNewest(page);
    this.isLoaded = true;
    this.changed();
  }

  /** The list begins with these now. */
  #takeNewest(page) {
    const newest = this.#recent(page.runs);
    const ids = new Set(newest.map((run) => run.id));
    const connects = page.next === null || this.runs.some((run) => ids.has(run.id));
    if (!this.isLoaded || !connects) {
      // More came since than one page holds: what is between is not known.
      this.runs = newest;
      this.#setCursor(page, newest);
      return;
    }
    const oldest = page.runs.at(-1);
    const older = page.next === null ? [] : this.runs.filter((run) => !ids.has(run.id) && isBefore(run, oldest));
    this.runs = this.#recent([...newest, ...older]).slice(0, MAX_RUNS);
  }

  /** What nobody tells: that a run has become too old, and how active runs stand that are not among the newest. */
  async #tend(signal) {
    const kept = this.#recent(this.runs);
    if (kept.length < this.runs.length) this.#changedSoon();
    this.runs = kept;
    const active = kept.slice(LIMIT).filter((run) => !isEnded(run));
    if (active.length === 0) return;
    for (let nth = 0; nth < Math.min(OLDER_AT_ONCE, active.length); nth += 1) {
      const run = active[(this.turn + nth) % active.length];
      const now = await api.run(run.id, signal).catch((error) => (error.status === 404 ? null : run));
      if (signal.aborted) return;
      const fits = now && (!this.filter.status || now.status === this.filter.status);
      this.runs = this.runs.flatMap((one) => (one.id !== run.id ? [one] : fits ? [now] : []));
    }
    this.turn += OLDER_AT_ONCE;
    this.#changedSoon();
  }

  #setCursor(page, kept) {
    this.cursor = page.next;
    this.hasOlder = page.next !== null && kept.length === page.runs.length && this.runs.length < MAX_RUNS;
  }

  /** Adds the runs before the oldest of the list. */
  async older() {
    const generation = this.generation;
    // Below the newest that are there now, wherever that is.
    if (this.cursor === undefined) this.cursor = (await api.runs(this.#query())).next;
    if (generation !== this.generation) return;
    const page = this.cursor === null ? { runs: [], next: null } : await api.runs(this.#query({ cursor: this.cursor }));
    if (generation !== this.generation) return;
    const known = new Set(this.runs.map((run) => run.id));
    const kept = this.#recent(page.runs);
    this.runs = [...this.runs, ...kept.filter((run) => !known.has(run.id))].slice(0, MAX_RUNS);
    this.#setCursor(page, kept);
    this.changed();
  }
}

/** Whether it stands below that run: by the time of creation, which is how both were listed. */
const isBefore = (run, other) => run.created_at <= other.created_at;
