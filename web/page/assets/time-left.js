// Estimates the time that a run still takes, from the rate of its progress. Independent of the page.

/** Length of the window over which the rate is measured, in milliseconds of active time. */
const RATE_WINDOW_MS = 30_000;
/** Most samples in the window. */
const MAX_SAMPLES = 64;
/** Shortest time over which a rate is measured. */
const MIN_RATE_MS = 500;

export class TimeLeft {
  constructor() {
    this.samples = [];
    /** Active time before the current active span, and the start of that span; null while paused. */
    this.activeMs = 0;
    this.since = null;
  }

  /** The run is active from `timeMs` on. A new attempt starts from its own progress, so `anew` restarts the rate. */
  begin(timeMs, { anew = false } = {}) {
    if (anew) this.samples = [];
    this.since ??= timeMs;
  }

  /** The run is paused, waits or has ended: the time from now on does not count. */
  pause(timeMs) {
    if (this.since !== null) this.activeMs += Math.max(0, timeMs - this.since);
    this.since = null;
  }

  #active(timeMs) {
    return this.activeMs + (this.since === null ? 0 : Math.max(0, timeMs - this.since));
  }

  /**
   * The time left of a run whose progress is `fraction` at `nowMs`, in milliseconds; undefined if it is unknown. The rate
   * is sampled only here, so a flood of events costs nothing between two calls.
   * @param {number | undefined} fraction from 0 to 1
   */
  look(fraction, nowMs) {
    const at = this.#active(nowMs);
    const left = this.#leftMs(fraction, at);
    const last = this.samples.at(-1);
    if (fraction !== undefined && (!last || at - last.at >= RATE_WINDOW_MS / MAX_SAMPLES)) {
      this.samples.push({ at, fraction });
      while (this.samples.length > 2 && at - this.samples[0].at > RATE_WINDOW_MS) this.samples.shift();
    }
    return left;
  }

  #leftMs(fraction, at) {
    const first = this.samples[0];
    if (fraction === undefined || fraction >= 1 || !first || this.since === null) return undefined;
    const gained = fraction - first.fraction;
    if (gained <= 0 || at - first.at < MIN_RATE_MS) return undefined;
    return ((1 - fraction) * (at - first.at)) / gained;
  }
}
