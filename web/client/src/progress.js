// The state of a run's progress from its `progress` events: a tree of items, see docs/events.md.

/** @import { ProgressItem, ProgressNode } from '../streamtask.d.ts' */

/** Most items; limited because a guest chooses the IDs. */
const MAX_ITEMS = 1000;
const OUTCOMES = /** @type {const} */ (['completed', 'failed', 'cancelled']);
const STATUSES = new Set(['waiting', 'running', 'completed', 'failed', 'skipped']);

/** @param {unknown} value */
const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
/** @param {unknown} value */
const text = (value) => (typeof value === 'string' ? value : undefined);

export class Progress {
  /** In the order of their first events. @type {Map<string, ProgressItem>} */
  items = new Map();
  /** Created on demand. @type {ReturnType<typeof treeOf> | undefined} */
  #tree;

  /** Applies the data of an event. Returns the item that it updates, if it is valid. @param {any} data */
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
    // Omitted values do not change.
    const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const item = { ...before, ...said };
    this.items.set(item.id, item);
    this.#tree = undefined;
    return item;
  }

  /**
   * Closes all open items when the run has ended.
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

  /** From 0 to 1; undefined if unknown. Without an ID, the run's. @param {string} [id] */
  fraction(id) {
    const { nodes, fraction } = this.#added();
    return id === undefined ? fraction : nodes.get(id)?.fraction;
  }

  /** The tree of items, with fractions summed by weight. */
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
    // An item whose parent is unknown or one of its own parts is a root.
    const above = parent === undefined || circular.has(id) ? undefined : nodes.get(parent);
    (above?.parts ?? roots).push(node);
  }
  // From the leaves up, without recursion, because a guest chooses the depth.
  const order = [...roots];
  for (let at = 0; at < order.length; at += 1) order.push(.../** @type {ProgressNode} */ (order[at]).parts);
  for (const node of order.reverse()) node.fraction = saidOf(node.item) ?? rollUp(node.parts);
  // The run's own fraction, or else that of all roots.
  const whole = nodes.get('');
  return { nodes, roots, fraction: whole?.fraction ?? rollUp(roots.filter((root) => root !== whole)) };
}

/** Items in a parent cycle. @param {Map<string, ProgressItem>} items */
function inCircles(items) {
  /** @type {Set<string>} */
  const circular = new Set();
  /** The walk in which each item was first visited. @type {Map<string, number>} */
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

/** The fraction from an item's own values. @param {ProgressItem} item */
function saidOf({ status, percent, done, total }) {
  if (status === 'completed' || status === 'skipped') return 1;
  if (percent !== undefined) return Math.min(Math.max(percent / 100, 0), 1);
  if (done !== undefined && total !== undefined && total > 0) return Math.min(Math.max(done / total, 0), 1);
  return undefined;
}

/** The weighted average of the parts. @param {ProgressNode[]} parts */
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
