// The transport of a run's stream.

import { Address } from './address.js';
import { HostError } from './errors.js';
import { Frames } from './frames.js';
import { Silence, Watchdog } from './watchdog.js';

/** @import { FollowOptions, Query, Target } from '../streamtask.d.ts' */

/** Interval of heartbeats in seconds: proxies close silent connections after 60 s, some after 30 s. */
const HEARTBEAT_SECONDS = 15;
/** Missed heartbeats after which a connection counts as dead. */
const SILENCE_HEARTBEATS = 2.5;
/** The host writes as soon as a stream opens. A proxy that delays that for this long buffers everything. */
const OPEN_MS = 10_000;
/** Connections without a single byte after which streaming counts as blocked. */
const MUTE_CONNECTIONS = 2;
/** Pause between two polls. */
export const POLL_MS = 2000;
/** Polls before streaming is tried again, because its cause may be gone: five minutes. */
const POLLS_IN_A_ROW = 150;
/** A buffering proxy delays a poll until it is complete, which takes this long for a long history. */
const WHOLE_MS = 300_000;
/** Streams are parsed in chunks of this many bytes. A browser can deliver megabytes at once, and draws no frame while they
 * are parsed. */
const PIECE_BYTES = 32 << 10;

/** The transport of a run's stream: successive connections, or polls if streaming is blocked. */
export class Line {
  /** Whether the host reported the end of the stream. */
  ended = false;
  /** @type {number | undefined} the pause that the host requested */
  retryMs;
  /** Whether the host may coalesce events. */
  joins = true;
  #mute = 0;
  #polls = 0;
  /** Polls that timed out without a single byte. */
  #mutePolls = 0;
  /** @type {number | undefined} the start position, if the first poll had to determine it */
  #begin;
  /** @type {Address} */
  #host;
  /** @type {URL | undefined} known at once, or after a request for the run */
  #url;
  #id = '';

  /** @param {Target} target @param {FollowOptions} options */
  constructor(target, options) {
    const own = typeof target === 'object' && 'host' in target ? target.host : undefined;
    const given = own instanceof Address ? own : options.host;
    const isAddress = target instanceof URL || (typeof target === 'string' && /[/:]/.test(target));
    const whole = isAddress && URL.canParse(String(target)) ? new URL(String(target)) : undefined;
    this.options = options;
    this.#host = given instanceof Address ? given : new Address(/** @type {string | URL | undefined} */ (given) ?? whole?.origin);
    if (isAddress) this.#url = whole ?? this.#host.at(String(target));
    else if (typeof target === 'string') this.#id = target;
    else if ('stream' in target && target.stream) this.#url = this.#host.at(target.stream);
    else this.#id = /** @type {{ id: string }} */ (target).id;
    if (this.#url) this.#host.check(this.#url);
  }

  /** Whether all sequence numbers of the log are expected. */
  get isWhole() {
    const { types, channels } = this.options;
    return !types && !channels && !this.#url?.searchParams.has('types') && !this.#url?.searchParams.has('channel');
  }

  get isPolling() {
    return this.#mute >= MUTE_CONNECTIONS;
  }

  /** @param {number | undefined} last @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *read(last) {
    await this.#locate();
    let after = last ?? this.#begin;
    if (!this.isPolling) return yield* this.#stream(after);
    this.#polls += 1;
    if (this.#polls >= POLLS_IN_A_ROW) this.#mute = this.#polls = 0;
    // The response can be large.
    const wholeMs = Math.min((this.options.openMs ?? OPEN_MS) * 2 ** this.#mutePolls, WHOLE_MS);
    try {
      if (after === undefined && this.options.from === 'now') after = this.#begin = await this.#now();
      yield* this.#connection(after, { live: false }, wholeMs, wholeMs);
      this.#mutePolls = 0;
    } catch (error) {
      if (error instanceof Silence && !error.heard) this.#mutePolls += 1;
      throw error;
    }
  }

  /** @param {number | undefined} after @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *#stream(after) {
    const heartbeat = this.options.heartbeatSeconds ?? HEARTBEAT_SECONDS;
    const silenceMs = heartbeat * SILENCE_HEARTBEATS * 1000;
    try {
      yield* this.#connection(after, { heartbeat }, this.options.openMs ?? OPEN_MS, silenceMs);
    } catch (error) {
      // A lost network does not mean that a proxy buffers.
      if (error instanceof Silence && !error.heard) this.#mute += 1;
      else this.#mute = 0;
      throw error;
    }
  }

  async #locate() {
    if (this.#url) return;
    const path = `/api/runs/${encodeURIComponent(this.#id)}`;
    const run = await this.#host.request('GET', path, { signal: this.#patience() });
    this.#url = this.#host.at(run.stream);
  }

  /**
   * The number of the newest event. With `now`, each poll would skip the events since the previous poll.
   * @returns {Promise<number>}
   */
  async #now() {
    const url = new URL(/** @type {URL} */ (this.#url));
    url.pathname += '/status';
    url.search = '';
    const response = await this.#host.fetch(url, { headers: { accept: 'application/json' }, signal: this.#patience() });
    if (!response.ok) throw await HostError.of(response);
    return (await response.json()).last_seq;
  }

  /** @param {number | undefined} after @param {Query} more */
  #address(after, more) {
    const { types, channels, tail, from, intervalMs: interval } = this.options;
    const url = new URL(/** @type {URL} */ (this.#url));
    // The envelope format contains the sequence number.
    url.searchParams.delete('envelope');
    const place = after === undefined ? { tail, from } : { after };
    for (const [name, value] of Object.entries({ types, channel: channels, interval, ...place, ...more })) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    if (!this.joins) url.searchParams.delete('interval');
    return url;
  }

  /** The abort signal of a request whose response is not a stream. */
  #patience() {
    const timeout = AbortSignal.timeout(this.options.openMs ?? OPEN_MS);
    return this.options.signal ? AbortSignal.any([this.options.signal, timeout]) : timeout;
  }

  /**
   * One connection, until it ends or is lost; yields `open` at the first byte.
   * @param {number | undefined} after @param {Query} query @param {number} openMs @param {number} silenceMs
   * @returns {AsyncGenerator<string[] | 'open', void, undefined>}
   */
  async *#connection(after, query, openMs, silenceMs) {
    const watchdog = new Watchdog(this.options.signal);
    try {
      watchdog.expect(openMs);
      /** @type {Record<string, string>} */
      const headers = { accept: 'text/event-stream' };
      // Unlike with `?after=`, the host reports an unknown position with a notice.
      if (after) headers['last-event-id'] = String(after);
      const response = await this.#host.fetch(this.#address(after, query), { headers, signal: watchdog.signal });
      if (response.status === 204) {
        this.ended = true;
        return;
      }
      if (!response.ok) throw await HostError.of(response);
      const type = response.headers.get('content-type') ?? 'nothing';
      if (!type.startsWith('text/event-stream') || !response.body) {
        throw new Error(`expected a stream, got ${type}; a proxy may have answered instead of the host`);
      }
      const reader = response.body.getReader();
      const frames = new Frames();
      for (let isFirst = true; ; isFirst = false) {
        watchdog.expect(isFirst ? openMs : silenceMs);
        const { done, value } = await reader.read();
        watchdog.rest();
        if (done) return;
        if (isFirst) {
          this.#mute = this.isPolling ? this.#mute : 0;
          yield 'open';
        }
        for (let at = 0; at < value.length; at += PIECE_BYTES) {
          const whole = frames.take(value.subarray(at, at + PIECE_BYTES));
          this.retryMs = frames.retryMs;
          yield whole;
        }
      }
    } finally {
      watchdog.close();
    }
  }
}
