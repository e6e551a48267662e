// Connections on which nothing comes.

import { onWake } from './pauses.js';

/** How often it looks at the clock, at the least. */
const LOOK_MS = 5000;

/** Nothing came for too long. */
export class Silence extends Error {
  heard = false;
}

/**
 * Ends a connection on which nothing comes: some proxies keep one open that is long dead.
 * By the time of day, because other clocks stand still while a laptop sleeps.
 */
export class Watchdog {
  #stop = new AbortController();
  #since = NaN;
  #patienceMs = 0;
  #heard = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #onAbort = () => this.#stop.abort(this.outer?.reason);
  #forget = onWake((isOnline) => (isOnline ? this.#stop.abort(new Error('the network changed')) : this.#look()));

  /** @param {AbortSignal} [outer] */
  constructor(outer) {
    this.outer = outer;
    this.signal = this.#stop.signal;
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener('abort', this.#onAbort);
  }

  /** Something shall come within so many milliseconds. @param {number} patienceMs */
  expect(patienceMs) {
    this.#since = Date.now();
    if (patienceMs === this.#patienceMs) return;
    this.#patienceMs = patienceMs;
    clearInterval(this.#timer);
    // Without signs of life nobody knows; no timer waits for longer than 24 days.
    if (patienceMs > 0 && patienceMs < 2 ** 31) this.#timer = setInterval(() => this.#look(), Math.min(patienceMs / 4, LOOK_MS));
  }

  /** It came. While nobody reads, silence says nothing. */
  rest() {
    this.#since = NaN;
    this.#heard = true;
  }

  #look() {
    // A clock that was set back would wait for long.
    if (this.#since > Date.now()) this.#since = Date.now();
    if (this.#patienceMs > 0 && Date.now() - this.#since > this.#patienceMs) {
      const silence = new Silence(`nothing came for ${Math.round(this.#patienceMs / 1000)} seconds`);
      silence.heard = this.#heard;
      this.#stop.abort(silence);
    }
  }

  close() {
    clearInterval(this.#timer);
    this.#forget();
    this.outer?.removeEventListener('abort', this.#onAbort);
    this.#stop.abort();
  }
}
