// What the `progress` events of a run say together: a tree of items, as docs/events.md has it.

/** @import { ProgressItem, ProgressNode } from '../streamtask.d.ts' */

/** Items beyond so many are left out: a guest chooses the ids. */
const MAX_ITEMS = 1000;
const OUTCOMES = /** @type {const} */ (['completed', 'failed', 'cancelled']);
const STATUSES = new Set(['waiting', 'running', 'completed', 'failed', 'skipped']);

/** @param {unknown} value */
const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
/** @param {unknown} value */
const text = (value) => (typeof value === 'string' ? value : undefined);

export class Progress {
  /** In the order in which they were first heard of. @type {Map<string, ProgressItem>} */
  items = new Map();
  /** Made when it is asked for. @type {ReturnType<typeof treeOf> | undefined} */
  #tree;

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
    this.#tree = undefined;
    return item;
  }

  /**
   * Closes what is still open when the run has ended: nobody works at it any more.
   * @param {string} status `completed`, `failed` or `cancelled`
   */
  close(status) {
    const outcome = OUTCOMES.find((one) => one === status);
    if (outcome === undefined) return;
    for (const item of this.items.values()) {
      if (item.status === 'waiting' || item.status === 'running') this.items.set(item.id, { ...item, status: outcome });
    }
    this.#tree = undefined;
  }

  /** From 0 to 1; undefined if nothing is known. Without an id, of the run. @param {string} [id] */
  fraction(id) {
    const { nodes, fraction } = this.#added();
    return id === undefined ? fraction : nodes.get(id)?.fraction;
  }

  /** The items as a tree, added up by weight. */
  tree() {
    const { roots, fraction } = this.#added();
    return { roots, fraction };
  }

  #added() {
    this.#tree ??= treeOf(this.items);
    return this.#tree;
  }
}

/** @param {Map<string, ProgressItem>} items */
function treeOf(items) {
  /** @type {Map<string, ProgressNode>} */
  const nodes = new Map();
  for (const item of items.values()) nodes.set(item.id, { item, parts: [], fraction: undefined });
  const circular = inCircles(items);
  /** @type {ProgressNode[]} */
  const roots = [];
  for (const node of nodes.values()) {
    const { id, parent } = node.item;
    // What names a part of itself as its parent, or one that is not there yet, is a root.
    const above = parent === undefined || circular.has(id) ? undefined : nodes.get(parent);
    (above?.parts ?? roots).push(node);
  }
  // From the leaves up, without recursion: depth is the guest's choice.
  const order = [...roots];
  for (let at = 0; at < order.length; at += 1) order.push(.../** @type {ProgressNode} */ (order[at]).parts);
  for (const node of order.reverse()) node.fraction = saidOf(node.item) ?? rollUp(node.parts);
  // Of the run as it says itself, or else as far as all are that are part of no other.
  const whole = nodes.get('');
  return { nodes, roots, fraction: whole?.fraction ?? rollUp(roots.filter((root) => root !== whole)) };
}

/** Items that are parts of themselves. @param {Map<string, ProgressItem>} items */
function inCircles(items) {
  /** @type {Set<string>} */
  const circular = new Set();
  /** By which walk up it was seen first. @type {Map<string, number>} */
  const seen = new Map();
  let walk = 0;
  for (const start of items.values()) {
    walk += 1;
    let at = /** @type {ProgressItem | undefined} */ (start);
    for (; at && !seen.has(at.id); at = at.parent === undefined ? undefined : items.get(at.parent)) seen.set(at.id, walk);
    if (!at || seen.get(at.id) !== walk) continue;
    for (; at && !circular.has(at.id); at = items.get(at.parent ?? '')) circular.add(at.id);
  }
  return circular;
}

/** What an item says of itself. @param {ProgressItem} item */
function saidOf({ status, percent, done, total }) {
  if (status === 'completed' || status === 'skipped') return 1;
  if (percent !== undefined) return Math.min(Math.max(percent / 100, 0), 1);
  if (done !== undefined && total !== undefined && total > 0) return Math.min(Math.max(done / total, 0), 1);
  return undefined;
}

/** As far as the parts are, by weight. @param {ProgressNode[]} parts */
function rollUp(parts) {
  let sum = 0;
  let weights = 0;
  for (const { item, fraction } of parts) {
    const weight = Math.max(item.weight ?? 1, 0);
    sum += weight * (fraction ?? 0);
    weights += weight;
  }
  return weights > 0 ? sum / weights : undefined;
}
