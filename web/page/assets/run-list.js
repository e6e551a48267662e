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
/** The newest runs, of which the host tells each change. */
const LIMIT = 50;
/** Older runs of one request: of a long history, few would be many clicks. */
const OLDER_LIMIT = 200;
/** Most runs that come into the list by themselves, beyond those that the reader has asked for: a list that is left open
 * for days must not grow for ever. The oldest go first, and can be asked for again. */
const MAX_UNASKED = 1000;
/** What is new among the newest the host tells together, every 200 ms at most; what comes within so long is told together. */
const TOGETHER_MS = 150;
/** Most requests for what began at once and was more than the host tells of. */
const MAX_GAP_PAGES = MAX_UNASKED / OLDER_LIMIT;

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
    /** For the runs before the oldest; undefined if it is not known, and these are asked for by their time. */
    this.cursor = undefined;
    /** Most runs in the list. */
    this.room = MAX_UNASKED;
    /** Runs among the newest that stand below the list, newest first: they follow when others leave it. */
    this.below = [];
    /** When the run was created at which the next look at the older ones begins; none is the newest of these. */
    this.tendFrom = null;
    /** New runs that came together, and when the newest before them was created. */
    this.burst = { at: -Infinity, size: 0, after: "" };
    /** When the newest run was created behind which some may be missing; null if none are. */
    this.gapAfter = null;
    /** The request for older runs that is under way. */
    this.asking = null;
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
    // One more than is shown tells whether there are older ones.
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

  /** A run is new, or is another now. */
  #put(run) {
    const fits = (!this.filter.status || run.status === this.filter.status) && this.#recent([run]).length > 0;
    const place = this.runs.findIndex((one) => one.id === run.id);
    this.below = this.below.filter((one) => one.id !== run.id);
    if (place >= 0) this.runs.splice(place, 1, ...(fits ? [run] : []));
    else if (fits) {
      const below = this.runs.findIndex((one) => isBefore(one, run));
      // Of those that are older than the list, none is there without the others.
      if (below < 0 && this.hasOlder) this.below = [run, ...this.below].sort((one, other) => (isBefore(one, other) ? 1 : -1)).slice(0, LIMIT);
      else {
        this.#countNew();
        this.runs.splice(below < 0 ? this.runs.length : below, 0, run);
      }
    }
  }

  /** If all of the newest are new at once, there may be others behind them, of which the host has not told. */
  #countNew() {
    const now = performance.now();
    if (now - this.burst.at > TOGETHER_MS) this.burst = { at: now, size: 0, after: this.runs[0]?.created_at ?? "" };
    this.burst.size += 1;
    if (this.burst.size >= LIMIT) this.gapAfter ??= this.burst.after;
  }

  #remove(id) {
    this.runs = this.runs.filter((run) => run.id !== id);
    this.below = this.below.filter((run) => run.id !== id);
  }

  /** Keeps the newest in the list, all of them and not many more than were asked for. */
  #fillUp() {
    // The host tells of so many. If fewer are left here, those that followed are the next.
    while (this.runs.length < LIMIT && this.below.length > 0) this.runs.push(this.below.shift());
    if (this.runs.length <= this.room) return;
    this.runs.length = this.room;
    this.cursor = undefined;
    this.hasOlder = true;
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
      // More came since than one page holds: what is between is asked for at once.
      this.gapAfter ??= this.runs[0].created_at;
      this.tending.now();
    }
    const oldest = page.runs.at(-1);
    const older = page.next === null ? [] : this.runs.filter((run) => !ids.has(run.id) && isBefore(run, oldest));
    this.runs = this.#recent([...newest, ...older]);
    if (page.next === null) this.hasOlder = false;
    this.#fillUp();
  }

  /** What nobody tells: runs that came too many at once, that one has become too old, and how those stand that are not among the newest. */
  async #tend(signal) {
    if (this.gapAfter !== null) await this.#fillGap(signal);
    if (signal.aborted) return;
    const kept = this.#recent(this.runs);
    if (kept.length < this.runs.length) this.#changedSoon();
    this.runs = kept;
    // Part by part, and only where there is one that can still change.
    const active = kept.slice(LIMIT).filter((run) => !isEnded(run));
    const first = active.find((run) => this.tendFrom !== null && run.created_at <= this.tendFrom) ?? active[0];
    if (!first) return;
    const page = await api.runs(this.#query({ created_before: justAfter(first), limit: OLDER_LIMIT }), signal);
    if (signal.aborted) return;
    const last = page.next === null ? null : page.runs.at(-1);
    this.tendFrom = last && last.created_at;
    const now = new Map(this.#recent(page.runs).map((run) => [run.id, run]));
    // Of those that were created with the last one, some may be on the next page.
    const isGone = (run) => run.created_at <= first.created_at && (last === null || run.created_at > last.created_at);
    this.runs = this.runs.flatMap((run) => now.get(run.id) ?? (isGone(run) ? [] : [run]));
    this.#changedSoon();
  }

  /** Asks for what was created after `gapAfter` and was not told. */
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
    // Meanwhile none of the oldest goes.
    this.room = this.runs.length + OLDER_LIMIT + MAX_UNASKED;
    // Without a cursor, a page begins with what is known already.
    for (let added = 0; added === 0 && this.hasOlder; ) {
      const { cursor } = this;
      const oldest = this.runs.at(-1);
      const place = cursor !== undefined ? { cursor } : { created_before: oldest && justAfter(oldest) };
      const page = await api.runs(this.#query({ ...place, limit: OLDER_LIMIT }));
      if (generation !== this.generation) return;
      // The list may end elsewhere by now.
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

/** The time of which all that was created with this run, or earlier, was created before: times are whole milliseconds. */
const justAfter = (run) => new Date(Date.parse(run.created_at) + 1).toISOString();
/** Whether it stands below that run: by the time of creation, which is how both were listed. */
const isBefore = (run, other) => run.created_at <= other.created_at;
