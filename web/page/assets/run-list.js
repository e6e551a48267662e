// A filtered list of runs, newest first, kept up to date. The host has no stream of all runs yet, so the newest are
// asked for again and again (poll.js); this is the file to change when it has one.

import * as api from "./api.js";
import { poll } from "./poll.js";
import { isEnded } from "./status.js";

/** Pause between two looks, in milliseconds. */
const EVERY_MS = 2000;
/** Runs of one request. */
const LIMIT = 50;
/** Most runs in the list; who wants to see more narrows the filter. */
const MAX_RUNS = 1000;
/** Active runs below the newest that are looked at each time. */
const OLDER_AT_ONCE = 4;

export class RunList {
  /** @param {() => void} changed called when the list is another */
  constructor(changed) {
    this.changed = changed;
    this.polling = null;
    this.#reset({});
  }

  #reset(filter) {
    this.filter = filter;
    this.runs = [];
    this.isLoaded = false;
    this.hasOlder = false;
    this.cursor = null;
    this.turn = 0;
    this.generation = (this.generation ?? 0) + 1;
  }

  /** Shows what passes that filter: `task`, `status`, `label` as the host has them, `within` seconds from now. */
  show(filter) {
    this.polling?.stop();
    this.#reset({ ...filter });
    this.changed();
    this.polling = poll((signal) => this.#look(signal), EVERY_MS);
  }

  close() {
    this.generation += 1;
    this.polling?.stop();
  }

  /** Looks again at once. */
  refresh() {
    this.polling?.now();
  }

  #query(more) {
    const { task, status, label } = this.filter;
    return { task: task || undefined, status: status || undefined, label: label || undefined, limit: LIMIT, ...more };
  }

  /** The host lists by the order of creation, so what is too old is at the end. */
  #recent(runs) {
    if (!this.filter.within) return runs;
    const since = api.hostNow() - Number(this.filter.within) * 1000;
    return runs.filter((run) => Date.parse(run.created_at) >= since);
  }

  async #look(signal) {
    const generation = this.generation;
    const page = await api.runs(this.#query(), signal);
    if (generation !== this.generation) return;
    const newest = this.#recent(page.runs);
    const ids = new Set(newest.map((run) => run.id));
    const connects = page.next === null || this.runs.some((run) => ids.has(run.id));
    if (!this.isLoaded || !connects) {
      // More came since than one page holds: what is between is not known.
      this.runs = newest;
      this.#setCursor(page, newest);
    } else {
      const oldest = page.runs.at(-1);
      const older = page.next === null ? [] : this.runs.filter((run) => !ids.has(run.id) && isBefore(run, oldest));
      this.runs = this.#recent([...newest, ...older]).slice(0, MAX_RUNS);
      await this.#lookAtOlder(older, signal);
      if (generation !== this.generation) return;
    }
    this.isLoaded = true;
    this.changed();
  }

  /** Active runs that are not among the newest, some each time. */
  async #lookAtOlder(older, signal) {
    const active = older.filter((run) => !isEnded(run));
    for (let nth = 0; nth < Math.min(OLDER_AT_ONCE, active.length); nth += 1) {
      const run = active[(this.turn + nth) % active.length];
      const now = await api.run(run.id, signal).catch((error) => (error.status === 404 ? null : run));
      const fits = now && (!this.filter.status || now.status === this.filter.status);
      this.runs = this.runs.flatMap((one) => (one.id !== run.id ? [one] : fits ? [now] : []));
    }
    this.turn += OLDER_AT_ONCE;
  }

  #setCursor(page, kept) {
    this.cursor = page.next;
    this.hasOlder = page.next !== null && kept.length === page.runs.length && this.runs.length < MAX_RUNS;
  }

  /** Adds the runs before the oldest of the list. */
  async older() {
    const generation = this.generation;
    const page = await api.runs(this.#query({ cursor: this.cursor }));
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
