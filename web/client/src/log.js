// What of a log has been delivered.

/** @import { Notice, StreamEvent } from '../streamtask.d.ts' */

export const ENDS = new Set(['run.completed', 'run.failed', 'run.cancelled']);

/** Whether this event is the last of its run. @param {StreamEvent | Notice} event */
export function isEnd(event) {
  return event.seq !== undefined && ENDS.has(event.type);
}

/** An event that stands for several, of which some were delivered before: it can't be taken in parts. */
export class Overlap extends Error {}

/** What has been delivered of a log, so that nothing is twice and nothing is left out in silence. */
export class Log {
  ended = false;
  /** @type {Error | undefined} what is wrong with the connection, after the events that were good */
  fault;
  /** Where events were missing: a connection may have lost them, a log that has them not will never say more. */
  #missing = NaN;

  /** @param {number | undefined} after @param {boolean} isWhole whether each number is expected */
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
        this.fault = error instanceof Overlap ? error : new Error('the stream is damaged', { cause: error });
      }
      if (this.fault || this.ended) break;
    }
    return events;
  }

  /** @param {StreamEvent | Notice} event @param {(StreamEvent | Notice)[]} events */
  #takeOne(event, events) {
    if (event.seq === undefined) {
      if (event.type !== 'gap') return;
      // A position that the log never had: it is another log now, and comes from its beginning.
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
        this.fault = new Error(`events ${last + 1} to ${first - 1} did not come`);
        return;
      }
      events.push({ type: 'gap', data: { from: last + 1, to: first - 1, reason: 'missing' } });
    }
    this.last = event.seq;
    this.ended = isEnd(event);
    events.push(event);
  }
}

/** The number of the first event that this one stands for. @param {StreamEvent} event */
function firstOf({ seq, first_seq: first = seq }) {
  const isRange = Number.isSafeInteger(seq) && Number.isSafeInteger(first) && first > 0 && first <= seq;
  if (!isRange) throw new TypeError('an event has no number');
  return first;
}
