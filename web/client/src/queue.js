// Updates that wait for the next frame, joined so that each target is written to as seldom as can be.

/** @import { ViewUpdate } from '../streamtask.d.ts' */

/**
 * An update of the view, or one that a page makes of another event.
 * @typedef {ViewUpdate | { op: 'line' | 'progress', [more: string]: any }} Update
 * @typedef {{ op: string, update: any, target: string | Element, pieces: any[], prune?: any, pruned?: number, isMoot?: boolean }} Entry
 * `prune` is done when the first `pruned` pieces are there.
 */

/** Added to what is there. */
const ADDING = new Set(['text', 'insert', 'line']);
/** Say how a target is, not what is in it. What comes after them must not be done before. */
const MARKS = new Set(['start', 'done', 'error']);

export class Queue {
  /** @type {Entry[]} */
  #entries = [];
  /** What can still be added to, by target. @type {Map<string | Element, Entry>} */
  #open = new Map();
  /** What a replacement makes needless, by target. @type {Map<string | Element, Entry[]>} */
  #content = new Map();
  #pieces = 0;

  /** How many updates wait. */
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
    // What is said to a target must not be said before it is there.
    if (creates) this.#open.clear();
    else if (MARKS.has(update.op)) this.#open.delete(target);
    else this.#open.set(target, entry);
  }

  /** Makes earlier content needless if this replaces it. @param {Entry} entry */
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

/** Whether `update` could become a part of an entry that waits. @param {Entry} open @param {any} update */
function joins(open, update) {
  if (update.op === 'prune' && open.op === 'insert') return joinsPrune(open, update);
  const isSame = update.op === open.op && update.mode === open.update.mode && update.at === open.update.at;
  if (!isSame || !ADDING.has(open.op)) return false;
  if (update.mode === 'replace') open.pieces.length = 0;
  open.pieces.push(piece(update));
  return true;
}

/**
 * Where is added at one end and removed at the other, all can be added first; what comes after the last removal
 * then counts on top of what it leaves.
 * @param {Entry} open @param {any} update
 */
function joinsPrune(open, update) {
  const edge = update.edge ?? 'top';
  const isOther = edge === (open.update.at === 'prepend' ? 'bottom' : 'top');
  const isSame = !open.prune || (open.prune.limit === update.limit && (open.prune.edge ?? 'top') === edge);
  if (isOther && isSame) Object.assign(open, { prune: update, pruned: open.pieces.length });
  return isOther && isSame;
}
