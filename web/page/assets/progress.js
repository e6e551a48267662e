// What the `progress` events of a run say together: docs/events.md. Knows nothing of the page.

/** Most items that are kept, as in the host: a guest chooses the ids. */
export const MAX_ITEMS = 1000;
/** How much of the time under way the rate is taken from, in milliseconds. */
const RATE_WINDOW_MS = 30_000;
/** Samples for the rate; the window is thinned out to so many. */
const MAX_SAMPLES = 64;
/** A rate over less than this is none. */
const MIN_RATE_MS = 500;
const STATUSES = ["waiting", "running", "completed", "failed", "skipped"];

const text = (value) => (typeof value === "string" ? value : undefined);
const whole = (value) => (Number.isInteger(value) && value >= 0 ? value : undefined);
const clamp = (value) => Math.min(1, Math.max(0, value));

/** A tree of items, each as the latest event about it left it. */
export class Progress {
  constructor() {
    /** @type {Map<string, any>} in the order in which they were first heard of; "" is the run as a whole */
    this.items = new Map();
    this.samples = [];
    /** Time under way before the current stretch, and when that began; null while held. */
    this.activeMs = 0;
    this.since = null;
  }

  /** Takes in the data of one event. Returns whether it said something of progress. */
  update(data) {
    if (data === null || typeof data !== "object" || Array.isArray(data)) return false;
    const id = text(data.id);
    const done = whole(data.done) ?? whole(data.step);
    const percent = Number.isFinite(data.percent) ? data.percent : undefined;
    if (id === undefined && done === undefined && percent === undefined) return false;
    const item = this.#item(id ?? "");
    if (!item) return false;
    item.parent = text(data.parent) ?? item.parent;
    item.weight = Number.isFinite(data.weight) && data.weight >= 0 ? data.weight : item.weight;
    item.status = STATUSES.includes(data.status) ? data.status : item.status;
    item.done = done ?? item.done;
    item.total = whole(data.total) ?? item.total;
    item.percent = percent ?? item.percent;
    item.message = text(data.message) ?? item.message;
    return true;
  }

  #item(id) {
    let item = this.items.get(id);
    if (!item && this.items.size < MAX_ITEMS) {
      item = { id, parent: undefined, weight: 1, status: "running", message: "" };
      this.items.set(id, item);
    }
    return item;
  }

  /** The run is under way from `timeMs` on. An attempt begins with what it has, so the rate begins anew. */
  begin(timeMs, { anew = false } = {}) {
    if (anew) this.samples = [];
    this.since ??= timeMs;
  }

  /** The run is held, waits, or is over: time that counts for nothing. */
  hold(timeMs) {
    if (this.since !== null) this.activeMs += Math.max(0, timeMs - this.since);
    this.since = null;
  }

  #active(timeMs) {
    return this.activeMs + (this.since === null ? 0 : Math.max(0, timeMs - this.since));
  }

  /**
   * The tree as it is at `nowMs`, with what is left at the rate of late; null if that can't be said. The rate is taken
   * from one look to the next, so that a flood of events costs no more than someone looks.
   */
  look(nowMs) {
    const tree = this.tree();
    const at = this.#active(nowMs);
    const left = this.#leftMs(tree.fraction, at);
    const last = this.samples.at(-1);
    if (tree.fraction !== null && (!last || at - last.at >= RATE_WINDOW_MS / MAX_SAMPLES)) {
      this.samples.push({ at, fraction: tree.fraction });
      while (this.samples.length > 2 && at - this.samples[0].at > RATE_WINDOW_MS) this.samples.shift();
    }
    return { ...tree, leftMs: left };
  }

  #leftMs(fraction, at) {
    const first = this.samples[0];
    if (fraction === null || fraction >= 1 || !first || this.since === null) return null;
    const gained = fraction - first.fraction;
    if (gained <= 0 || at - first.at < MIN_RATE_MS) return null;
    return ((1 - fraction) * (at - first.at)) / gained;
  }

  /**
   * The items as a tree, added up by weight.
   * @returns {{ roots: any[], fraction: number | null }} each node: `item`, `fraction` (null: unknown), `parts`
   */
  tree() {
    const nodes = new Map();
    for (const item of this.items.values()) nodes.set(item.id, { item, parts: [], fraction: null });
    const roots = [];
    for (const node of nodes.values()) {
      const parent = this.#parentOf(node.item) !== undefined ? nodes.get(node.item.parent) : undefined;
      (parent?.parts ?? roots).push(node);
    }
    for (const root of roots) add(root);
    const whole = nodes.get("");
    if (whole && whole.fraction !== null) return { roots, fraction: whole.fraction };
    return { roots, fraction: rollUp(roots.filter((root) => root !== whole)) };
  }

  /** The parent's id, unless there is no such item or the items form a circle, which a guest may have closed. */
  #parentOf(item) {
    const seen = new Set([item.id]);
    let at = item;
    while (at.parent !== undefined && this.items.has(at.parent)) {
      if (seen.has(at.parent)) return undefined;
      seen.add(at.parent);
      at = this.items.get(at.parent);
    }
    return item.parent !== undefined && this.items.has(item.parent) ? item.parent : undefined;
  }
}

/** Fills in the fractions from the leaves up, without recursion: depth is the guest's choice. */
function add(root) {
  const order = [root];
  for (let at = 0; at < order.length; at += 1) order.push(...order[at].parts);
  for (const node of order.reverse()) node.fraction = ownFraction(node.item) ?? rollUp(node.parts);
}

function ownFraction(item) {
  if (item.status === "completed" || item.status === "skipped") return 1;
  if (item.percent !== undefined) return clamp(item.percent / 100);
  if (item.done !== undefined && item.total > 0) return clamp(item.done / item.total);
  return null;
}

function rollUp(parts) {
  let sum = 0;
  let weights = 0;
  for (const part of parts) {
    sum += part.item.weight * (part.fraction ?? 0);
    weights += part.item.weight;
  }
  return weights > 0 ? sum / weights : null;
}
