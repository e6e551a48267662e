// What the `progress` events of a run say together: a tree of items, as docs/events.md has it.

/** @import { ProgressItem } from '../streamtask.d.ts' */

/** Items beyond so many are left out: a guest chooses the ids. */
const MAX_ITEMS = 1000;
const STATUSES = new Set(['waiting', 'running', 'completed', 'failed', 'skipped']);

/** @param {unknown} value */
const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
/** @param {unknown} value */
const text = (value) => (typeof value === 'string' ? value : undefined);

export class Progress {
  /** In the order in which they were first heard of. @type {Map<string, ProgressItem>} */
  items = new Map();

  /** Takes in the data of one event; the item that it speaks of, if it is about progress. @param {any} data */
  update(data) {
    if (data === null || typeof data !== 'object') return undefined;
    const done = number(data.done) ?? number(data.step);
    const percent = number(data.percent);
    const id = text(data.id);
    if (id === undefined && done === undefined && percent === undefined) return undefined;
    const before = this.items.get(id ?? '') ?? { id: id ?? '', status: 'running' };
    if (!this.items.has(before.id) && this.items.size >= MAX_ITEMS) return undefined;
    const given = {
      parent: text(data.parent),
      weight: number(data.weight),
      status: STATUSES.has(data.status) ? data.status : undefined,
      done,
      total: number(data.total),
      percent,
      message: text(data.message),
    };
    // What an event leaves out stays as it was.
    const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const item = { ...before, ...said };
    this.items.set(item.id, item);
    return item;
  }

  /**
   * From 0 to 1; undefined if nothing is known. Without an id, of the run: as it says itself, or else as far as all
   * items are that are part of no other.
   * @param {string} [id]
   */
  fraction(id) {
    /** @type {Map<string | undefined, ProgressItem[]>} */
    const parts = new Map();
    for (const item of this.items.values()) {
      if (item.id === '' || item.parent === item.id) continue;
      const siblings = parts.get(item.parent);
      if (siblings) siblings.push(item);
      else parts.set(item.parent, [item]);
    }
    const item = this.items.get(id ?? '');
    const own = item && saidOf(item);
    if (own !== undefined) return own;
    return id === undefined || item ? ofParts(id || undefined, parts) : undefined;
  }
}

/** What an item says of itself. @param {ProgressItem} item */
function saidOf({ status, percent, done, total }) {
  if (status === 'completed' || status === 'skipped') return 1;
  if (percent !== undefined) return Math.min(Math.max(percent / 100, 0), 1);
  if (done !== undefined && total !== undefined && total > 0) return Math.min(Math.max(done / total, 0), 1);
  return undefined;
}

/** As far as the parts are, by weight. @param {string | undefined} id @param {Map<string | undefined, ProgressItem[]>} parts @returns {number | undefined} */
function ofParts(id, parts) {
  const items = parts.get(id) ?? [];
  // Each is asked for once: a guest may have closed a circle.
  parts.delete(id);
  let sum = 0;
  let weights = 0;
  for (const item of items) {
    const weight = Math.max(item.weight ?? 1, 0);
    sum += weight * (saidOf(item) ?? ofParts(item.id, parts) ?? 0);
    weights += weight;
  }
  return weights > 0 ? sum / weights : undefined;
}
