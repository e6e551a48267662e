// How fast a run comes forward, and what is left at that rate. Knows nothing of the page.

/** How much of the time under way the rate is taken from, in milliseconds. */
const RATE_WINDOW_MS = 30_000;
/** Samples for the rate; the window is thinned out to so many. */
const MAX_SAMPLES = 64;
/** A rate over less than this is none. */
const MIN_RATE_MS = 500;

export class Pace {
  constructor() {
    this.samples = [];
    /** Time under way before the current stretch, and when that began; null while held. */
    this.activeMs = 0;
    this.since = null;
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
   * What is left of a run that is as far as `fraction` at `nowMs`, in milliseconds; undefined if that can't be said. The
   * rate is taken from one look to the next, so that a flood of events costs no more than someone looks.
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
