// A filtered list of runs, newest first, kept up to date by the host's stream of the newest runs, or by polling if
// streaming is not available.

import * as api from "./api.js";
import { poll } from "./poll.js";
import { NoStream, runStream, whileSeen } from "./run-stream.js";
import { isEnded } from "./status.js";

/** Pause before a stream that ended is opened again, and between two polls without a stream, in milliseconds. */
const EVERY_MS = 2000;
/** Polls without a stream before the stream is tried again: five minutes. */
const POLLS_BEFORE_STREAM = 150;
/** Number of newest runs whose changes the host streams. */
const LIMIT = 50;
/** Older runs per request; with fewer, a long history would take many clicks. */
const OLDER_LIMIT = 200;
/** Most runs in the list beyond those that the user has requested: a list that is left open for days must not grow without
 * limit. The oldest are dropped first, and can be requested again. */
const MAX_UNREQUESTED = 1000;
/** The host sends changes in batches, at most every 200 ms; messages within this time are of one batch. */
const BATCH_MS = 150;
/** Most requests to fill a gap, when more runs were created at once than the host streams. */
const MAX_GAP_PAGES = MAX_UNREQUESTED / OLDER_LIMIT;

export class RunList {
  /** @param {() => void} changed called when the list has changed, at most once a frame */
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
    /** Cursor for the runs before the oldest; undefined if not known: they are then requested by their time. */
    this.cursor = undefined;
    /** Most runs in the list. */
    this.room = MAX_UNREQUESTED;
    /** Streamed runs that are older than the list's end, newest first: they move up when others leave the list. */
    this.below = [];
    /** Creation time of the run at which the next refresh of older runs begins; null begins at the newest of them. */
    this.tendFrom = null;
    /** The current batch of new runs, and the creation time of the newest run before it. */
    this.burst = { at: -Infinity, size: 0, after: "" };
    /** Creation time of the run after which some may be missing; null if none are. */
    this.gapAfter = null;
    /** The pending request for older runs. */
    this.asking = null;
    /** Polls until the stream is tried again. */
    this.pollsLeft = 0;
    this.generation = (this.generation ?? 0) + 1;
  }

  /** Shows the runs that match a filter: `task`, `status` and `label` as in the host's API, created `within` seconds. */
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

  /** Polls at once; a stream needs no poll. */
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

  /** Leaves out the runs that are older than the filter's `within`. */
  #recent(runs) {
    if (!this.filter.within) return runs;
    const since = api.hostNow() - Number(this.filter.within) * 1000;
    return runs.filter((run) => Date.parse(run.created_at) >= since);
  }

  async #update(signal) {
    if (this.pollsLeft > 0) {
      this.pollsLeft -= 1;
      return this.#poll(signal);
    }
    const seen = whileSeen(signal);
    try {
      await this.#follow(seen.signal);
    } catch (error) {
      if (signal.aborted || !seen.signal.aborted) {
        if (!(error instanceof NoStream)) throw error;
        this.pollsLeft = POLLS_BEFORE_STREAM;
        return 1;
      }
    } finally {
      seen.close();
    }
  }

  // ---- the stream

  async #follow(signal) {
    const generation = this.generation;
    /** The snapshot until it is complete; null after that, when changes arrive. */
    let snapshot = [];
    // One more than is shown, to know whether older ones exist.
    for await (const said of runStream(this.#query({ limit: LIMIT + 1 }), signal)) {
      if (generation !== this.generation) return;
      for (const { type, data } of said) {
        if (type === "run.list-complete") {
          this.#takeNewest({ runs: snapshot.slice(0, LIMIT), next: snapshot.length > LIMIT ? undefined : null });
          this.below = snapshot.slice(LIMIT);
          this.isLoaded = true;
          snapshot = null;
        } else if (type === "run.state") {
          if (snapshot) snapshot.push(data);
          else this.#put(data);
        } else if (type === "run.removed") {
          snapshot = snapshot && snapshot.filter((run) => run.id !== data.id);
          this.#remove(data.id);
        }
      }
      if (snapshot) continue;
      this.#fillUp();
      this.#changedSoon();
    }
  }

  /** Adds or updates a run. */
  #put(run) {
    const fits = (!this.filter.status || run.status === this.filter.status) && this.#recent([run]).length > 0;
    const place = this.runs.findIndex((one) => one.id === run.id);
    this.below = this.below.filter((one) => one.id !== run.id);
    if (place >= 0) this.runs.splice(place, 1, ...(fits ? [run] : []));
    else if (fits) {
      const below = this.runs.findIndex((one) => isBefore(one, run));
      // A run older than the list's end would leave a hole between it and the list.
      if (below < 0 && this.hasOlder) this.below = [run, ...this.below].sort((one, other) => (isBefore(one, other) ? 1 : -1)).slice(0, LIMIT);
      else {
        this.#countNew();
        this.runs.splice(below < 0 ? this.runs.length : below, 0, run);
      }
    }
  }

  /** If one batch replaces all of the newest runs, the host may not have sent others between them and the rest. */
  #countNew() {
    const now = performance.now();
    if (now - this.burst.at > BATCH_MS) this.burst = { at: now, size: 0, after: this.runs[0]?.created_at ?? "" };
    this.burst.size += 1;
    if (this.burst.size >= LIMIT) this.gapAfter ??= this.burst.after;
  }

  #remove(id) {
    this.runs = this.runs.filter((run) => run.id !== id);
    this.below = this.below.filter((run) => run.id !== id);
  }

  /** Keeps the list between its minimum, the newest runs, and its maximum. */
  #fillUp() {
    // The host streams LIMIT runs. If fewer are left here, those below move up.
    while (this.runs.length < LIMIT && this.below.length > 0) this.runs.push(this.below.shift());
    if (this.runs.length <= this.room) return;
    this.runs.length = this.room;
    this.cursor = undefined;
    this.hasOlder = true;
  }

  // ---- requests

  async #poll(signal) {
    const generation = this.generation;
    const page = await api.runs(this.#query(), signal);
    if (generation !== this.generation) return;
    this.#takeNewest(page);
    this.isLoaded = true;
    this.changed();
  }

  /** Makes a page of the newest runs the list's beginning. */
  #takeNewest(page) {
    this.below = [];
    const newest = this.#recent(page.runs);
    const ids = new Set(newest.map((run) => run.id));
    const connects = page.next === null || this.runs.some((run) => ids.has(run.id));
    if (!this.isLoaded || this.runs.length === 0) {
      this.runs = newest;
      this.gapAfter = null;
      this.#setCursor(page, newest);
      return;
    }
    if (!connects) {
      // More runs were created than a page holds: request those in between at once.
      this.gapAfter ??= this.runs[0].created_at;
      this.tending.now();
    }
    const oldest = page.runs.at(-1);
    const older = page.next === null ? [] : this.runs.filter((run) => !ids.has(run.id) && isBefore(run, oldest));
    this.runs = this.#recent([...newest, ...older]);
    if (page.next === null) this.hasOlder = false;
    this.#fillUp();
  }

  /** Does what the stream does not: fills gaps, drops runs that became too old, and refreshes active runs beyond the newest. */
  async #tend(signal) {
    if (this.gapAfter !== null) await this.#fillGap(signal);
    if (signal.aborted) return;
    const kept = this.#recent(this.runs);
    if (kept.length < this.runs.length) this.#changedSoon();
    this.runs = kept;
    // One page at a time, and only where a run can still change.
    const active = kept.slice(LIMIT).filter((run) => !isEnded(run));
    const first = active.find((run) => this.tendFrom !== null && run.created_at <= this.tendFrom) ?? active[0];
    if (!first) return;
    const page = await api.runs(this.#query({ created_before: justAfter(first), limit: OLDER_LIMIT }), signal);
    if (signal.aborted) return;
    const last = page.next === null ? null : page.runs.at(-1);
    this.tendFrom = last && last.created_at;
    const now = new Map(this.#recent(page.runs).map((run) => [run.id, run]));
    // Runs created at the same time as the last one may be on the next page.
    const isGone = (run) => run.created_at <= first.created_at && (last === null || run.created_at > last.created_at);
    this.runs = this.runs.flatMap((run) => now.get(run.id) ?? (isGone(run) ? [] : [run]));
    this.#changedSoon();
  }

  /** Requests the runs that were created after `gapAfter` and were not streamed. */
  async #fillGap(signal) {
    const after = this.gapAfter;
    this.gapAfter = null;
    const found = [];
    let next;
    for (let nth = 0; nth < MAX_GAP_PAGES && next !== null && !(found.at(-1)?.created_at < after); nth += 1) {
      const page = await api.runs(this.#query({ cursor: next, limit: OLDER_LIMIT }), signal).catch((error) => {
        this.gapAfter = after;
        throw error;
      });
      if (signal.aborted) return;
      found.push(...page.runs);
      next = page.next;
    }
    const [first, last] = [found[0], found.at(-1)];
    if (!first) return;
    const known = new Map(this.runs.map((run) => [run.id, run]));
    const ids = new Set(found.map((run) => run.id));
    const others = this.runs.filter((run) => !ids.has(run.id));
    const isJoined = next === null || last.created_at < after;
    this.runs = this.#recent([
      ...others.filter((run) => run.created_at > first.created_at),
      ...found.map((run) => known.get(run.id) ?? run),
      ...(isJoined ? others.filter((run) => isBefore(run, last)) : []),
    ]);
    if (!isJoined) {
      this.cursor = next;
      this.hasOlder = true;
    }
    this.#fillUp();
    this.#changedSoon();
  }

  #setCursor(page, kept) {
    this.cursor = page.next ?? undefined;
    this.hasOlder = page.next !== null && kept.length === page.runs.length;
  }

  /** Adds the runs before the oldest of the list. */
  older() {
    const { generation } = this;
    this.asking ??= this.#older().finally(() => {
      if (generation !== this.generation) return;
      this.asking = null;
      this.changed();
    });
    this.changed();
    return this.asking;
  }

  async #older() {
    const generation = this.generation;
    // Keep the oldest runs until the response arrives.
    this.room = this.runs.length + OLDER_LIMIT + MAX_UNREQUESTED;
    // Without a cursor, a page begins with known runs.
    for (let added = 0; added === 0 && this.hasOlder; ) {
      const { cursor } = this;
      const oldest = this.runs.at(-1);
      const place = cursor !== undefined ? { cursor } : { created_before: oldest && justAfter(oldest) };
      const page = await api.runs(this.#query({ ...place, limit: OLDER_LIMIT }));
      if (generation !== this.generation) return;
      // The list's end may have changed meanwhile.
      if (cursor !== this.cursor || oldest?.id !== this.runs.at(-1)?.id) continue;
      const known = new Set(this.runs.map((run) => run.id));
      const kept = this.#recent(page.runs);
      const more = kept.filter((run) => !known.has(run.id));
      added = more.length;
      this.runs = [...this.runs, ...more];
      this.below = [];
      this.#setCursor(page, kept);
    }
  }
}

/** The first time after this run's creation: times are whole milliseconds. */
const justAfter = (run) => new Date(Date.parse(run.created_at) + 1).toISOString();
/** Whether a run is listed below another: it was created at the same time or earlier. */
const isBefore = (run, other) => run.created_at <= other.created_at;
