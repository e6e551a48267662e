// Tracks the delivered events of a log.

/** @import { Notice, StreamEvent } from '../streamtask.d.ts' */

export const ENDS = new Set(['run.completed', 'run.failed', 'run.cancelled']);

/** Whether this is the run's last event. @param {StreamEvent | Notice} event */
export function isEnd(event) {
  return event.seq !== undefined && ENDS.has(event.type);
}

/** A coalesced event, of which a part was already delivered; it can't be split. */
export class Overlap extends Error {}

/** Tracks the delivered events of a log, so that none is repeated, and none is missing unnoticed. */
export class Log {
  ended = false;
  /** @type {Error | undefined} an error of the connection, after its valid events */
  fault;
  /** The position of missing events: if they are missing again after a reconnect, the log does not have them. */
  #missing = NaN;

  /** @param {number | undefined} after @param {boolean} isWhole whether all sequence numbers are expected */
  constructor(after, isWhole) {
    /** @type {number | undefined} */
    this.last = after;
    this.isWhole = isWhole;
  }

  /** @param {string[]} frames */
  take(frames) {
    this.fault = undefined;
    /** @type {(StreamEvent | Notice)[]} */
    const events = [];
    for (const frame of frames) {
      try {
        this.#takeOne(JSON.parse(frame), events);
      } catch (error) {
        this.fault = error instanceof Overlap ? error : new Error('the stream is corrupt', { cause: error });
      }
      if (this.fault || this.ended) break;
    }
    return events;
  }

  /** @param {StreamEvent | Notice} event @param {(StreamEvent | Notice)[]} events */
  #takeOne(event, events) {
    if (event.seq === undefined) {
      if (event.type !== 'gap') return;
      // The log never had the position, so it is a different log now. The stream starts at its beginning.
      if (event.data.reason === 'unknown-position') this.last = 0;
      else this.last = Math.max(this.last ?? 0, event.data.to ?? 0);
      events.push(event);
      return;
    }
    const first = firstOf(event);
    const last = this.last ?? first - 1;
    if (event.seq <= last) return;
    if (first <= last) throw new Overlap(`the events ${first} to ${event.seq} came as one, after ${last} had come`);
    if (this.isWhole && first > last + 1) {
      if (this.#missing !== last) {
        this.#missing = last;
        this.fault = new Error(`events ${last + 1} to ${first - 1} are missing`);
        return;
      }
      events.push({ type: 'gap', data: { from: last + 1, to: first - 1, reason: 'missing' } });
    }
    this.last = event.seq;
    this.ended = isEnd(event);
    events.push(event);
  }
}

/** The number of the first event in a coalesced one. @param {StreamEvent} event */
function firstOf({ seq, first_seq: first = seq }) {
  const isRange = Number.isSafeInteger(seq) && Number.isSafeInteger(first) && first > 0 && first <= seq;
  if (!isRange) throw new TypeError('an event has no number');
  return first;
}
