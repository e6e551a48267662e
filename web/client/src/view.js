// Applies `view` events of tasks to the elements of a page that they name.

import { Markdown } from './markdown.js';
import { activate, clearError, done, fail, nameOf, start, tell } from './marks.js';
import { Queue } from './queue.js';
import { PREFIX, sanitize } from './sanitize.js';
import { Scrolling } from './scrolling.js';
import { withPrefix } from './selector.js';

/** @import { Entry, Update } from './queue.js' */
/** @import { ViewOptions } from '../streamtask.d.ts' */

/** A page in the background gets no frames; without a timer, pending updates would accumulate. */
const NO_FRAME_MS = 1000;
/** A longer text gets a new node, because adding to a node copies its text. */
const TEXT_NODE_CHARS = 64 << 10;
/** How long Markdown can show markup that is not parsed yet. */
const CATCH_UP_MS = 100;
/** Most lines of events, unless the element sets another limit. */
const MAX_LINES = 5000;
/** The target of `state`, which has no element. Names can't contain this character. */
const NO_TARGET = '\0';

/** Applies updates to the elements below `root`, all pending ones together, in the browser's next frame. */
export class View {
  #queue = new Queue();
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {WeakMap<Element, Markdown>} */
  #markdown = new WeakMap();
  /** Those with text that is not parsed yet. @type {Set<Markdown>} */
  #behind = new Set();

  /** @param {Document | Element} [root] @param {ViewOptions} [options] */
  constructor(root = document, options = {}) {
    this.root = root;
    this.sanitize = options.sanitize ?? ((html) => sanitize(html, options.html));
    this.prefix = options.html?.prefix ?? PREFIX;
  }

  /** The number of pending updates. */
  get pending() {
    return this.#queue.size;
  }

  /** @param {Update} update @param {Element} [element] */
  apply(update, element) {
    for (const one of updatesOf(update)) this.#apply(one, element);
  }

  /** @param {any} update @param {Element} [element] */
  #apply(update, element) {
    const target = element ?? (update.op === 'state' ? NO_TARGET : update.target);
    if (typeof target !== 'string' && !(target instanceof Element)) return;
    this.#queue.add(update, target);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.flush(), NO_FRAME_MS);
    this.#frame = requestAnimationFrame(() => this.flush());
  }

  /** Resolves when the updates that are pending now have been applied. @returns {Promise<void>} */
  written() {
    return this.pending ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }

  /** Applies pending updates at once. */
  flush() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = this.#queue.take();
    // Before any change, because changes move the end.
    const scrolling = new Scrolling(entries.flatMap((entry) => this.#elements(entry.target)));
    for (const entry of entries) {
      try {
        this.#write(entry);
      } catch (error) {
        // For example, an invalid selector. Apply the other updates.
        console.warn(`streamtask: the update ${entry.op} of ${String(entry.update.target)} could not be done:`, error);
      }
    }
    scrolling.restore();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Marks every target that is still being written as complete, or as failed with `message`. @param {string} [message] */
  finish(message) {
    this.flush();
    for (const element of this.root.querySelectorAll('[data-stream-active]')) {
      if (message === undefined) this.apply({ op: 'done', target: nameOf(element) }, element);
      else this.apply({ op: 'error', target: nameOf(element), message }, element);
    }
    this.flush();
  }

  /** @param {string | Element} target @returns {Element[]} */
  #elements(target) {
    if (typeof target !== 'string') return [target];
    if (target === NO_TARGET) return [];
    const name = CSS.escape(target);
    const selector = `[data-stream="${name}"], [dj-stream="${name}"]`;
    const below = [...this.root.querySelectorAll(selector)];
    return this.root instanceof Element && this.root.matches(selector) ? [this.root, ...below] : below;
  }

  /** @param {Entry} entry */
  #write(entry) {
    const { op, update } = entry;
    // A text that is replaced in the same frame is not shown; it only activates its target.
    if (entry.isMoot && op !== 'text') return;
    if (op === 'state') return tell(this.root, 'state', { state: update.state });
    for (const element of this.#elements(entry.target)) {
      if (op === 'done' || op === 'error') this.#catchUp(this.#markdown.get(element));
      if (entry.isMoot) activate(element);
      else if (op === 'text') this.#text(element, entry);
      else if (op === 'html') this.#html(element, String(update.html ?? ''));
      else if (op === 'insert') this.#insert(element, entry);
      else if (op === 'remove') remove(element, withPrefix(String(update.selector), this.prefix));
      else if (op === 'prune') prune(element, update);
      else if (op === 'start') start(element);
      else if (op === 'done') done(element);
      else if (op === 'error') fail(element, String(update.message ?? update.error ?? ''));
      else if (op === 'line') lines(element, entry.pieces);
      else if (op === 'progress') showProgress(element, update);
      else console.warn(`streamtask: there is no update ${JSON.stringify(op)}`);
    }
  }

  /** @param {Element} element @param {Entry} entry */
  #text(element, { update, pieces }) {
    const own = element.getAttribute('data-stream-mode') ?? element.getAttribute('dj-stream-mode');
    const mode = update.mode ?? own ?? 'append';
    const text = mode === 'replace' ? pieces.at(-1) : (mode === 'prepend' ? pieces.toReversed() : pieces).join('');
    clearError(element);
    if (element.getAttribute('data-stream-format') === 'markdown') this.#writeMarkdown(element, text, mode);
    else writeText(element, text, mode);
    activate(element);
    tell(element, 'text', { text, mode });
  }

  /** @param {Element} element @param {string} text @param {string} mode */
  #writeMarkdown(element, text, mode) {
    const before = this.#markdown.get(element);
    const markdown = mode === 'append' && before ? before : new Markdown(element);
    this.#markdown.set(element, markdown);
    if (mode !== 'append') element.replaceChildren();
    markdown.append(mode === 'prepend' ? text + (before?.source ?? '') : text);
    if (!markdown.isBehind) return;
    if (this.#behind.size === 0) setTimeout(() => this.#catchUpAll(), CATCH_UP_MS);
    this.#behind.add(markdown);
  }

  #catchUpAll() {
    const behind = [...this.#behind];
    this.#behind.clear();
    const scrolling = new Scrolling(behind.map(({ element }) => element));
    for (const markdown of behind) this.#catchUp(markdown);
    scrolling.restore();
  }

  /** @param {Markdown | undefined} markdown */
  #catchUp(markdown) {
    // The element may show other content by now.
    if (markdown?.isBehind && this.#markdown.get(markdown.element) === markdown) markdown.catchUp();
  }

  /** @param {Element} element @param {string} html */
  #html(element, html) {
    clearError(element);
    this.#markdown.delete(element);
    element.replaceChildren(this.sanitize(html));
    tell(element, 'update', { op: 'replace' });
  }

  /** @param {Element} element @param {Entry} entry */
  #insert(element, { update, pieces, prune: pruning, pruned }) {
    const isPrepended = update.at === 'prepend';
    // Each separately: an unclosed element in one must not contain the next.
    const fragments = pieces.map((html) => this.sanitize(html));
    const later = fragments.slice(pruned).reduce((count, fragment) => count + fragment.childElementCount, 0);
    clearError(element);
    if (isPrepended) element.prepend(...fragments.reverse());
    else element.append(...fragments);
    if (pruning) prune(element, { ...pruning, limit: Math.max(0, Number(pruning.limit)) + later });
    tell(element, 'update', { op: isPrepended ? 'prepend' : 'append' });
  }
}

/**
 * The updates in the data of a `view` event, in order: those in a frame, or else the single one.
 * @param {any} data @returns {Generator<any, void, undefined>}
 */
export function* updatesOf(data) {
  // Without recursion, because a guest chooses how deep frames are nested.
  const left = [data];
  while (left.length > 0) {
    const one = left.pop();
    if (one === null || typeof one !== 'object') continue;
    if (one.op !== 'frame') yield one;
    else if (Array.isArray(one.ops)) for (const part of one.ops.toReversed()) left.push(part);
  }
}

/** @param {Element} element @param {string} text @param {string} mode */
function writeText(element, text, mode) {
  if (mode === 'replace') {
    element.textContent = text;
  } else if (mode === 'prepend') {
    element.prepend(text);
  } else {
    const last = element.lastChild;
    if (last instanceof Text && last.length < TEXT_NODE_CHARS) last.appendData(text);
    else element.append(text);
  }
}

/** @param {Element} element @param {string} selector */
function remove(element, selector) {
  for (const found of element.querySelectorAll(selector)) {
    tell(found, 'remove', { stream: nameOf(element) });
    found.remove();
  }
}

/** @param {Element} element @param {any} update */
function prune(element, { limit, edge }) {
  const tooMany = element.childElementCount - Math.max(0, Number(limit));
  for (let count = 0; count < tooMany; count += 1) {
    if (edge === 'bottom') element.lastElementChild?.remove();
    else element.firstElementChild?.remove();
  }
}

/** @param {Element} element @param {{ text: string, level?: string, source?: string }[]} pieces */
function lines(element, pieces) {
  const limit = Number(element.getAttribute('data-stream-limit') ?? MAX_LINES);
  const made = pieces.slice(-limit).map(({ text, level, source }) => {
    const line = document.createElement('div');
    line.className = 'stream-line';
    if (level) line.setAttribute('data-level', level);
    if (source) line.setAttribute('data-source', source);
    line.textContent = text;
    return line;
  });
  element.append(...made);
  prune(element, { limit });
}

/** @param {Element} element @param {{ progress: import('./progress.js').Progress, id?: string }} update */
function showProgress(element, { progress, id }) {
  // Read now, because more updates may have followed.
  const fraction = progress.fraction(id);
  const message = progress.items.get(id ?? '')?.message ?? '';
  if (!(element instanceof HTMLProgressElement)) {
    element.textContent = fraction === undefined ? message : `${Math.floor(fraction * 100)} % ${message}`.trim();
  } else if (fraction === undefined) {
    // Without a value, the browser shows an indeterminate bar.
    element.removeAttribute('value');
  } else {
    element.max = 1;
    element.value = fraction;
  }
}
