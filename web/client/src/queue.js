// Updates that wait for the next frame, coalesced to minimise writes to each target.

/** @import { ViewUpdate } from '../streamtask.d.ts' */

/**
 * An update of the view, or one that a page makes of another event.
 * @typedef {ViewUpdate | { op: 'line' | 'progress', [more: string]: any }} Update
 * @typedef {{ op: string, update: any, target: string | Element, pieces: any[], prune?: any, pruned?: number, isMoot?: boolean }} Entry
 * `prune` applies after the first `pruned` pieces.
 */

/** Operations that append. */
const ADDING = new Set(['text', 'insert', 'line']);
/** Operations on a target's state, not its content. Later updates must not be applied before them. */
const MARKS = new Set(['start', 'done', 'error']);

export class Queue {
  /** @type {Entry[]} */
  #entries = [];
  /** Entries that can still take more updates, by target. @type {Map<string | Element, Entry>} */
  #open = new Map();
  /** Entries that a replacement would make redundant, by target. @type {Map<string | Element, Entry[]>} */
  #content = new Map();
  #pieces = 0;

  /** The number of pending updates. */
  get size() {
    return this.#pieces;
  }

  take() {
    const entries = this.#entries;
    this.#entries = [];
    this.#open.clear();
    this.#content.clear();
    this.#pieces = 0;
    return entries;
  }

  /** @param {Update} update @param {string | Element} target */
  add(update, target) {
    this.#pieces += 1;
    const creates = createsTargets(update);
    const open = this.#open.get(target);
    if (open && !creates && joins(open, update)) return;
    /** @type {Entry} */
    const entry = { op: update.op, update, target, pieces: [piece(update)] };
    this.#entries.push(entry);
    if (!MARKS.has(update.op)) this.#note(entry);
    // A target's state must not be announced before its content is there.
    if (creates) this.#open.clear();
    else if (MARKS.has(update.op)) this.#open.delete(target);
    else this.#open.set(target, entry);
  }

  /** Marks earlier content as redundant if this replaces it. @param {Entry} entry */
  #note(entry) {
    const { target } = entry;
    const earlier = this.#content.get(target) ?? [];
    if (replaces(entry.update)) for (const one of earlier.splice(0)) one.isMoot = true;
    earlier.push(entry);
    this.#content.set(target, earlier);
  }
}

/** @param {any} update */
function replaces({ op, mode }) {
  return op === 'html' || op === 'state' || op === 'progress' || (op === 'text' && mode === 'replace');
}

/** @param {any} update */
function createsTargets({ op, html }) {
  return (op === 'html' || op === 'insert') && /(data|dj)-stream/i.test(String(html));
}

/** @param {any} update */
function piece(update) {
  return update.op === 'text' ? String(update.text ?? '') : update.op === 'insert' ? String(update.html ?? '') : update;
}

/** Whether `update` can be merged into a pending entry. @param {Entry} open @param {any} update */
function joins(open, update) {
  if (update.op === 'prune' && open.op === 'insert') return joinsPrune(open, update);
  const isSame = update.op === open.op && update.mode === open.update.mode && update.at === open.update.at;
  if (!isSame || !ADDING.has(open.op)) return false;
  if (update.mode === 'replace') open.pieces.length = 0;
  open.pieces.push(piece(update));
  return true;
}

/**
 * If content is added at one end and removed at the other, all can be added first; additions after the last removal
 * then count in addition to what it leaves.
 * @param {Entry} open @param {any} update
 */
function joinsPrune(open, update) {
  const edge = update.edge ?? 'top';
  const isOther = edge === (open.update.at === 'prepend' ? 'bottom' : 'top');
  const isSame = !open.prune || (open.prune.limit === update.limit && (open.prune.edge ?? 'top') === edge);
  if (isOther && isSame) Object.assign(open, { prune: update, pruned: open.pieces.length });
  return isOther && isSame;
}
