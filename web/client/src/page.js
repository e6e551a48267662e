// Connects a page to the run that it shows.

import { followBatches } from './follow.js';
import { Host, Run } from './host.js';
import { isEnd } from './log.js';
import { Progress } from './progress.js';
import { View } from './view.js';

/** @import { ConnectOptions, Notice, State, StreamEvent } from '../streamtask.d.ts' */

/** Pending updates above which no more events are read until the next frame: a long history is shown in parts. */
const MAX_PENDING = 5000;
const ACTIONS = /** @type {const} */ (['cancel', 'pause', 'resume']);

/** Shows a run in the elements below `root`. @param {ConnectOptions} [options] */
export function connect(options = {}) {
  return new Connection(options);
}

/** Connects every element that names a run and is not connected yet. @param {ParentNode} [page] */
export function connectAll(page = document) {
  for (const root of page.querySelectorAll('[data-stream-run], [data-stream-url]')) {
    if (!connected.has(root)) connect({ root });
  }
}

/** @type {WeakMap<Node, Connection>} */
const connected = new WeakMap();

class Connection {
  #stop = new AbortController();
  #progress = new Progress();

  /** @param {ConnectOptions} options */
  constructor(options) {
    const { root = document, host, run, url, html, sanitize, signal, onEvent, ...following } = options;
    const element = root instanceof Element ? root : root.documentElement;
    const target = run ?? url ?? element.getAttribute('data-stream-run') ?? element.getAttribute('data-stream-url');
    if (!target) throw new TypeError('connect() needs a `run`, or a `root` with `data-stream-run`');
    connected.get(root)?.close();
    connected.set(root, this);
    this.root = root;
    this.element = element;
    this.onEvent = onEvent;
    this.view = new View(root, { html, sanitize });
    const after = Number(element.getAttribute('data-stream-after') ?? '0');
    const interval = element.getAttribute('data-stream-interval');
    const intervalMs = interval === null ? undefined : Number(interval);
    const ended = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    root.addEventListener('click', this.#onClick, { signal: ended });
    const whole = URL.canParse(String(target)) ? new URL(String(target)).origin : undefined;
    const own = target instanceof Run ? target.host : (host ?? whole);
    this.host = own instanceof Host ? own : new Host(/** @type {string | URL | undefined} */ (own));
    this.target = target;
    this.done = this.#show({ after, intervalMs, ...following, host: this.host, signal: ended });
    // If nobody handles `done`, log the error.
    this.done.catch((error) => console.error('streamtask:', error));
  }

  /** Closes the connection; the run continues. */
  close() {
    this.#stop.abort(new DOMException('the connection was closed', 'AbortError'));
  }

  /** @param {import('../streamtask.d.ts').FollowOptions} options @returns {Promise<StreamEvent | undefined>} */
  async #show(options) {
    /** @type {StreamEvent | undefined} */
    let end;
    const onState = (/** @type {State} */ state) => this.#tell('connection', state, 'data-stream-connection', state.state);
    try {
      for await (const events of followBatches(this.target, { onState, ...options })) {
        for (const event of events) this.#take(event);
        const last = events.at(-1);
        if (last && isEnd(last)) end = /** @type {StreamEvent} */ (last);
        else if (this.view.pending > MAX_PENDING) await this.view.written();
      }
    } catch (error) {
      this.view.flush();
      if (this.#stop.signal.aborted || options.signal?.aborted) return undefined;
      this.#tell('connection', { state: 'failed', error }, 'data-stream-connection', 'failed');
      throw error;
    }
    this.#finish(end);
    return end;
  }

  /** @param {StreamEvent | Notice} event */
  #take(event) {
    this.onEvent?.(event);
    if (event.type === 'view') return this.view.apply(event.data);
    if (event.type === 'progress') {
      this.#progress.update(event.data);
      this.#showProgress();
    } else if (isEnd(event)) {
      this.#progress.close(event.type.replace('run.', ''));
      this.#showProgress();
    }
    this.#showLine(event);
    this.root.dispatchEvent(new CustomEvent('stream:event', { bubbles: true, detail: event }));
  }

  /** Shows an event as a line in elements that request its type. @param {StreamEvent | Notice} event */
  #showLine({ type, data }) {
    for (const element of this.root.querySelectorAll(`[data-stream-events~="${CSS.escape(type)}"]`)) {
      const text = typeof data === 'string' ? data : (data?.message ?? JSON.stringify(data));
      this.view.apply({ op: 'line', text: String(text), level: data?.level, source: data?.stream }, element);
    }
  }

  #showProgress() {
    if (this.#progress.items.size === 0) return;
    for (const element of this.root.querySelectorAll('[data-stream-progress]')) {
      const id = element.getAttribute('data-stream-progress') || undefined;
      this.view.apply({ op: 'progress', id, progress: this.#progress }, element);
    }
  }

  /** Marks targets that are still being written as finished. @param {StreamEvent} [end] */
  #finish(end) {
    const status = end?.type.replace('run.', '') ?? 'ended';
    this.view.finish(status === 'failed' ? String(end?.data?.error?.message ?? 'the run failed') : undefined);
    this.#tell('end', { status, event: end }, 'data-stream-status', status);
  }

  /** @param {string} what @param {unknown} detail @param {string} attribute @param {string} value */
  #tell(what, detail, attribute, value) {
    this.element.setAttribute(attribute, value);
    this.root.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail }));
  }

  /** @param {Event} event */
  #onClick = async (event) => {
    const button = event.target instanceof Element ? event.target.closest('[data-stream-action]') : null;
    const action = ACTIONS.find((name) => name === button?.getAttribute('data-stream-action'));
    if (!button || !action) return;
    event.preventDefault();
    try {
      await this.#run()[action]();
    } catch (error) {
      // The run may have ended meanwhile.
      console.warn(`streamtask: ${action}:`, error);
    }
  };

  /** The run that is shown: a stream's URL ends with its ID. */
  #run() {
    const { target } = this;
    if (target instanceof Run) return target;
    if (typeof target === 'object' && 'id' in target) return this.host.run(String(target.id));
    const text = String(typeof target === 'object' && 'stream' in target ? target.stream : target);
    return this.host.run(text.replace(/[?#].*/s, '').split('/').at(-1) ?? '');
  }
}

/** Pages only have to load the script. */
if (globalThis.document) {
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => connectAll());
  else connectAll();
}
