// Follows a run until its end.

import { mayPass, retryAfter } from './errors.js';
import { Line, POLL_MS } from './line.js';
import { Log, Overlap } from './log.js';
import { backoff, pause } from './pauses.js';

/** @import { FollowOptions, Notice, State, StreamEvent, Target } from '../streamtask.d.ts' */

/** @param {Target} target @param {FollowOptions} [options] */
export async function* follow(target, options) {
  for await (const events of followBatches(target, options)) yield* events;
}

/** @param {Target} target @param {FollowOptions} [options] @returns {AsyncGenerator<(StreamEvent | Notice)[], void, undefined>} */
export async function* followBatches(target, options = {}) {
  const { signal, giveUpMs = Infinity } = options;
  const onState = telling(options.onState);
  const line = new Line(target, options);
  const log = new Log(options.after, line.isWhole);
  let failures = 0;
  let heard = Date.now();
  for (;;) {
    signal?.throwIfAborted();
    const { isPolling } = line;
    onState({ state: isPolling ? 'polling' : 'connecting', after: log.last });
    let wait = options.pollMs ?? POLL_MS;
    // Polls have their own interval.
    let isAskedFor = true;
    try {
      for await (const frames of line.read(log.last)) {
        heard = Date.now();
        if (frames === 'open') {
          if (!isPolling) onState({ state: 'open', after: log.last });
          continue;
        }
        const events = log.take(frames);
        if (events.length) {
          failures = 0;
          yield events;
        }
        if (log.fault) throw log.fault;
        if (log.ended) break;
      }
      if (log.ended || line.ended) return onState({ state: 'ended', after: log.last });
      if (!isPolling) throw new Error('the stream ended before its run');
      failures = 0;
    } catch (error) {
      signal?.throwIfAborted();
      // Without coalescing, delivered events can be skipped. A host that overlapped once would do so again.
      if (error instanceof Overlap) line.joins = false;
      if (!mayPass(error) || Date.now() - heard > giveUpMs) throw error;
      wait = backoff(failures, options.retryMs ?? line.retryMs, retryAfter(error));
      isAskedFor = retryAfter(error) !== undefined;
      failures += 1;
      onState({ state: 'waiting', after: log.last, error, retryInMs: wait });
    }
    await pause(wait, { signal, isAskedFor });
  }
}

/** Calls the listener so that its exceptions don't count as errors of the connection. @param {FollowOptions['onState']} listener @returns {(state: State) => void} */
function telling(listener) {
  return (state) => {
    try {
      listener?.(state);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}
