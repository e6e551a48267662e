// Detects dead connections.

import { onWake } from './pauses.js';

/** Longest interval between two checks of the clock. */
const LOOK_MS = 5000;

/** No data arrived for too long. */
export class Silence extends Error {
  heard = false;
}

/**
 * Aborts a connection without data: some proxies keep a dead connection open. It uses the time of day, because other clocks
 * stop while a computer sleeps.
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

  /** Expects data within this time. @param {number} patienceMs */
  expect(patienceMs) {
    this.#since = Date.now();
    if (patienceMs === this.#patienceMs) return;
    this.#patienceMs = patienceMs;
    clearInterval(this.#timer);
    // Without heartbeats, silence means nothing; timers can't wait longer than 24 days.
    if (patienceMs > 0 && patienceMs < 2 ** 31) this.#timer = setInterval(() => this.#look(), Math.min(patienceMs / 4, LOOK_MS));
  }

  /** Data arrived. Stops expecting more until the consumer reads again. */
  rest() {
    this.#since = NaN;
    this.#heard = true;
  }

  #look() {
    // If the clock was set back, restart the wait.
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
