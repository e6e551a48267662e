// The way to a run's stream.

import { Address } from './address.js';
import { HostError } from './errors.js';
import { Frames } from './frames.js';
import { Silence, Watchdog } from './watchdog.js';

/** @import { FollowOptions, Query, Target } from '../streamtask.d.ts' */

/** A sign of life is asked for after so many seconds of silence: proxies close at 60, some at 30. */
const HEARTBEAT_SECONDS = 15;
/** Signs of life that may fail to come before a connection counts as dead. */
const SILENCE_HEARTBEATS = 2.5;
/** The host speaks as soon as a stream opens. Who holds that back for so long holds all back. */
const OPEN_MS = 10_000;
/** Connections without a single byte after which a stream can't be had here, and is polled. */
const MUTE_CONNECTIONS = 2;
/** Pause between two polls. */
export const POLL_MS = 2000;
/** Polls before a stream is tried again, for whatever muted it may be gone: five minutes. */
const POLLS_IN_A_ROW = 150;
/** A poll has an end, but who holds back keeps it until it is whole: one of a long history may take so long. */
const WHOLE_MS = 300_000;
/** Streams are taken in pieces of so many bytes. A browser hands over what came meanwhile, which may be megabytes, and
 * draws no frame while they are parsed. */
const PIECE_BYTES = 32 << 10;

/** The way to a run's stream: connections one after the other, or polls where no stream comes through. */
export class Line {
  /** Whether the host said that nothing will ever follow. */
  ended = false;
  /** @type {number | undefined} the pause that the host asks for */
  retryMs;
  /** Whether what comes between two moments may come as one. */
  joins = true;
  #mute = 0;
  #polls = 0;
  /** Polls that were given up for want of a byte. */
  #mutePolls = 0;
  /** @type {number | undefined} where it begins, if the first poll had to find that out */
  #begin;
  /** @type {Address} */
  #host;
  /** @type {URL | undefined} known at once, or when the run has been asked for */
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

  /** Whether every number of the log is expected. */
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
    // It may be much that has to be gathered.
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
      // A lost network is no proxy that holds back.
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
   * The last event that there is. Each poll has a `now` of its own, and would leave out what came since the last.
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
    // The number is in the envelope.
    url.searchParams.delete('envelope');
    const place = after === undefined ? { tail, from } : { after };
    for (const [name, value] of Object.entries({ types, channel: channels, interval, ...place, ...more })) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    if (!this.joins) url.searchParams.delete('interval');
    return url;
  }

  /** For an answer that has an end. */
  #patience() {
    const timeout = AbortSignal.timeout(this.options.openMs ?? OPEN_MS);
    return this.options.signal ? AbortSignal.any([this.options.signal, timeout]) : timeout;
  }

  /**
   * One connection, until it ends or is lost; gives `open` at the first byte.
   * @param {number | undefined} after @param {Query} query @param {number} openMs @param {number} silenceMs
   * @returns {AsyncGenerator<string[] | 'open', void, undefined>}
   */
  async *#connection(after, query, openMs, silenceMs) {
    const watchdog = new Watchdog(this.options.signal);
    try {
      watchdog.expect(openMs);
      /** @type {Record<string, string>} */
      const headers = { accept: 'text/event-stream' };
      // Unlike `?after=`, a position that the log does not have is told here, by a notice.
      if (after) headers['last-event-id'] = String(after);
      const response = await this.#host.fetch(this.#address(after, query), { headers, signal: watchdog.signal });
      if (response.status === 204) {
        this.ended = true;
        return;
      }
      if (!response.ok) throw await HostError.of(response);
      const type = response.headers.get('content-type') ?? 'nothing';
      if (!type.startsWith('text/event-stream') || !response.body) {
        throw new Error(`instead of a stream came ${type}; something stands between here and the host`);
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
