// A client of a streamtask host, for browsers, Node.js 20, Deno and Bun. One module, no dependencies.
//
// Host and Run start runs and act on them, `follow` reads what a run says. Every shape is
// described in streamtask.d.ts; this file says why.

/** @import { FollowOptions, HostOptions, Notice, Query, RunInfo, StartOptions, StreamEvent, Target } from './streamtask.d.ts' */

/** A sign of life is asked for after so many seconds of silence: proxies close at 60, some at 30. */
const HEARTBEAT_SECONDS = 15;
/** Signs of life that may fail to come before a connection counts as dead. */
const SILENCE_HEARTBEATS = 2.5;
/** The host speaks as soon as a stream opens. Who holds that back for so long holds all back. */
const OPEN_MS = 10_000;
/** Connections without a single byte after which a stream can't be had here, and is polled. */
const MUTE_CONNECTIONS = 2;
/** Pause between two polls. */
const POLL_MS = 2000;
/** Polls before a stream is tried again, for whatever muted it may be gone: five minutes. */
const POLLS_IN_A_ROW = 150;
/** A stream that has an end, and that a proxy keeps until it is whole, may take so long. */
const WHOLE_MS = 300_000;
/** First pause after a lost connection unless the host says another; each further one is twice as long. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
/** Longest line of a stream. No host sends one; without a bound a wrong server could fill the memory. */
const MAX_LINE_CHARS = 64 << 20;
/** Times that a start is repeated under its key when no answer came. */
const START_RETRIES = 4;

const ENDS = new Set(['run.completed', 'run.failed', 'run.cancelled']);
/** Answers that may be another one in a moment. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

// ---- errors

/** The host refused a request. */
export class HostError extends Error {
  name = 'HostError';

  /** @param {number} status @param {Record<string, any>} problem @param {number} [retryAfterMs] */
  constructor(status, problem, retryAfterMs) {
    super(problem.detail ?? problem.title ?? `the host answered with status ${status}`);
    this.status = status;
    this.kind = String(problem.type ?? '').replace('urn:streamtask:problem:', '');
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }

  /** @param {Response} response */
  static async of(response) {
    // Of a proxy it may be anything.
    const problem = await response.json().catch(() => ({}));
    const after = response.headers.get('retry-after');
    const seconds = after === null ? NaN : Number(after);
    const wait = Number.isNaN(seconds) ? Date.parse(after ?? '') - Date.now() : seconds * 1000;
    return new HostError(response.status, problem ?? {}, wait > 0 ? wait : undefined);
  }
}

/** A run did not complete. */
export class RunError extends Error {
  name = 'RunError';

  /** @param {RunInfo} run */
  constructor(run) {
    super(run.error?.message ?? `the run was ${run.status}`);
    this.run = run;
    this.status = run.status;
    this.kind = run.error?.kind;
    this.code = run.error?.code;
  }
}

// ---- the host's API

/** A host, by its address. */
export class Host {
  /** @param {string | URL} [url] @param {HostOptions} [options] */
  constructor(url = globalThis.location?.origin, options = {}) {
    if (!url || url === 'null') throw new TypeError('outside of a page the address of the host is needed');
    this.url = new URL(url, globalThis.location?.href);
    this.options = options;
  }

  /** Where a path of the host is; below the host's own, if a proxy has it under one. @param {string} path @param {Query} [query] */
  at(path, query = {}) {
    const url = new URL(this.url.origin + this.url.pathname.replace(/\/+$/, '') + path);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== undefined) url.searchParams.append(name, String(one));
    }
    return url;
  }

  /** Headers may hold a token, which is nobody else's business. @param {URL} url */
  check(url) {
    if (url.origin !== this.url.origin) throw new TypeError(`${url.origin} is not the host ${this.url.origin}`);
  }

  /** @param {URL} url @param {RequestInit & { headers?: Record<string, string> }} [init] */
  async fetch(url, init = {}) {
    this.check(url);
    const { headers, fetch = globalThis.fetch, credentials } = this.options;
    const own = typeof headers === 'function' ? await headers() : headers;
    return fetch(url, { cache: 'no-store', credentials, ...init, headers: { ...own, ...init.headers } });
  }

  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async request(method, path, { query, body, headers, signal } = {}) {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const type = json === undefined ? undefined : { 'content-type': 'application/json' };
    const init = { method, body: json, headers: { accept: 'application/json', ...type, ...headers }, signal };
    const response = await this.fetch(this.at(path, query), init);
    if (!response.ok) throw await HostError.of(response);
    const text = await response.text();
    return text ? JSON.parse(text) : undefined;
  }

  /** @param {string} task @param {unknown} [input] @param {StartOptions} [options] */
  async start(task, input, options = {}) {
    const { id, labels, idempotencyKey, notBefore, delay, priority, resources, ifBusy, signal } = options;
    // Without a name of its own, a start whose answer was lost could not be repeated.
    const key = idempotencyKey ?? (id ? undefined : randomName());
    const headers = key ? { 'idempotency-key': key } : undefined;
    const label = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
    const moment = notBefore instanceof Date ? notBefore.toISOString() : notBefore;
    const query = { id, label, not_before: moment, delay, priority, resource: resources, if_busy: ifBusy };
    for (let tries = 0; ; tries += 1) {
      try {
        const path = `${taskPath(task)}/runs`;
        return new Run(this, await this.request('POST', path, { query, body: input, headers, signal }));
      } catch (error) {
        signal?.throwIfAborted();
        if (tries >= START_RETRIES || !mayPass(error)) throw error;
        await pause(backoff(tries, retryAfter(error)), signal);
      }
    }
  }

  /** @param {string} id */
  run(id) {
    return new Run(this, id);
  }

  /** @param {Query & { labels?: Record<string, string> }} [filter] */
  runs({ labels, ...query } = {}) {
    const [label] = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
    return this.request('GET', '/api/runs', { query: { label, ...query } });
  }

  async tasks() {
    return this.request('GET', '/api/tasks');
  }

  /** @param {string} name */
  async task(name) {
    return this.request('GET', taskPath(name));
  }
}

/** A run of a host. */
export class Run {
  /** @param {Host} host @param {string | RunInfo} run */
  constructor(host, run) {
    this.host = host;
    this.id = typeof run === 'string' ? run : run.id;
    /** @type {string | undefined} */
    this.stream = typeof run === 'string' ? undefined : run.stream;
  }

  /** @param {string} method @param {string} [path] @param {{ query?: Query, body?: unknown, signal?: AbortSignal }} [options] */
  #ask(method, path = '', options) {
    return this.host.request(method, `/api/runs/${encodeURIComponent(this.id)}${path}`, options);
  }

  /** @param {{ signal?: AbortSignal }} [options] @returns {Promise<RunInfo>} */
  info(options) {
    return this.#ask('GET', '', options);
  }

  /** @param {FollowOptions} [options] */
  follow(options) {
    return follow(this, options);
  }

  /** @param {{ signal?: AbortSignal }} [options] */
  async result({ signal } = {}) {
    // Nothing but the end is read, so it does not matter where a lost connection begins anew.
    const end = follow(this, { host: this.host, signal, from: 'now', types: [...ENDS] });
    while (!(await end.next()).done);
    const run = await this.info({ signal });
    if (run.status !== 'completed') throw new RunError(run);
    return run.final_value;
  }

  /** @returns {Promise<RunInfo>} */
  cancel() {
    return this.#ask('POST', '/cancel');
  }

  /** @returns {Promise<RunInfo>} */
  pause() {
    return this.#ask('POST', '/pause');
  }

  /** @returns {Promise<RunInfo>} */
  resume() {
    return this.#ask('POST', '/resume');
  }

  /** @param {string} name @param {unknown} [payload] @returns {Promise<RunInfo>} */
  signal(name, payload) {
    return this.#ask('POST', `/signals/${encodeURIComponent(name)}`, { body: payload });
  }

  /** @param {string} name @param {unknown} value @returns {Promise<RunInfo>} */
  setParameter(name, value) {
    return this.#ask('PUT', `/parameters/${encodeURIComponent(name)}`, { body: value });
  }

  /** @returns {Promise<Record<string, unknown>>} */
  parameters() {
    return this.#ask('GET', '/parameters');
  }

  children() {
    return this.#ask('GET', '/children');
  }

  files() {
    return this.#ask('GET', '/files');
  }

  /** @returns {Promise<void>} */
  delete() {
    return this.#ask('DELETE');
  }
}

/** @param {string} name */
function taskPath(name) {
  const parts = name.includes('/') ? name.split('/') : ['default', name];
  return `/api/tasks/${parts.map(encodeURIComponent).join('/')}`;
}

/** `crypto.randomUUID` is missing on pages without TLS. */
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// ---- following a run

/** Whether this event is the last of its run. @param {StreamEvent | Notice} event */
export function isEnd(event) {
  return event.seq !== undefined && ENDS.has(event.type);
}

/** @param {Target} target @param {FollowOptions} [options] */
export async function* follow(target, options) {
  for await (const events of followBatches(target, options)) yield* events;
}

/** @param {Target} target @param {FollowOptions} [options] @returns {AsyncGenerator<(StreamEvent | Notice)[], void, undefined>} */
export async function* followBatches(target, options = {}) {
  const { signal, onState = () => {}, giveUpMs = Infinity } = options;
  const log = new Log(options.after, !options.types && !options.channels);
  const line = new Line(target, options);
  let failures = 0;
  let heard = Date.now();
  for (;;) {
    signal?.throwIfAborted();
    onState({ state: line.isPolling ? 'polling' : 'connecting', after: log.last });
    let wait = options.pollMs ?? POLL_MS;
    try {
      for await (const frames of line.read(log.last)) {
        heard = Date.now();
        if (frames === 'open') {
          if (!line.isPolling) onState({ state: 'open', after: log.last });
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
      if (line.isPolling) failures = 0;
      else throw new Error('the stream ended before its run');
    } catch (error) {
      signal?.throwIfAborted();
      if (!mayPass(error) || Date.now() - heard > giveUpMs) throw error;
      wait = backoff(failures, retryAfter(error) ?? line.retryMs, options.retryMs);
      failures += 1;
      onState({ state: 'waiting', after: log.last, error, retryInMs: wait });
    }
    await pause(wait, signal);
  }
}

/** What has been delivered of a log, so that nothing is twice and nothing is left out in silence. */
class Log {
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
        this.fault = new Error('the stream is damaged', { cause: error });
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
    if (!Number.isSafeInteger(event.seq)) throw new TypeError('an event has no number');
    const last = this.last ?? event.seq - 1;
    if (event.seq <= last) return;
    if (this.isWhole && event.seq > last + 1) {
      if (this.#missing !== last) {
        this.#missing = last;
        this.fault = new Error(`events ${last + 1} to ${event.seq - 1} did not come`);
        return;
      }
      events.push({ type: 'gap', data: { from: last + 1, to: event.seq - 1, reason: 'missing' } });
    }
    this.last = event.seq;
    this.ended = isEnd(event);
    events.push(event);
  }
}

/** The way to a run's stream: connections one after the other, or polls where no stream comes through. */
class Line {
  /** Whether the host said that nothing will ever follow. */
  ended = false;
  /** @type {number | undefined} the pause that the host asks for */
  retryMs;
  #mute = 0;
  #polls = 0;
  /** A host of an earlier version does not know how to end a stream at its present end. */
  #endsPolls = true;
  /** @type {Host} */
  #host;
  /** @type {URL | undefined} known at once, or when the run has been asked for */
  #url;
  #id = '';

  /** @param {Target} target @param {FollowOptions} options */
  constructor(target, options) {
    const given = target instanceof Run ? target.host : options.host;
    const isAddress = target instanceof URL || (typeof target === 'string' && /[/:]/.test(target));
    const whole = isAddress && URL.canParse(String(target)) ? new URL(String(target)) : undefined;
    this.options = options;
    this.#host = given instanceof Host ? given : new Host(given ?? whole?.origin);
    if (isAddress) this.#url = whole ?? this.#host.at(String(target));
    else if (typeof target === 'string') this.#id = target;
    else if ('stream' in target && target.stream) this.#url = this.#host.at(target.stream);
    else this.#id = /** @type {Run} */ (target).id;
    if (this.#url) this.#host.check(this.#url);
  }

  get isPolling() {
    return this.#mute >= MUTE_CONNECTIONS;
  }

  /** @param {number | undefined} after @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *read(after) {
    await this.#locate();
    if (!this.isPolling) return yield* this.#stream(after);
    this.#polls += 1;
    if (this.#polls >= POLLS_IN_A_ROW) this.#mute = this.#polls = 0;
    const openMs = this.options.openMs ?? OPEN_MS;
    if (this.#endsPolls) {
      try {
        return yield* this.#connection(after, { live: false }, openMs, openMs);
      } catch (error) {
        if (!(error instanceof Silence)) throw error;
        this.#endsPolls = false;
      }
    }
    // The run itself can always be read; and when it has ended, its stream has an end too.
    if (await this.#hasEnded()) yield* this.#connection(after, {}, WHOLE_MS, WHOLE_MS);
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
    const run = await this.#host.run(this.#id).info({ signal: this.options.signal });
    this.#url = this.#host.at(run.stream);
  }

  /** @param {number | undefined} after @param {Query} more */
  #address(after, more) {
    const { types, channels, tail, from } = this.options;
    const url = new URL(/** @type {URL} */ (this.#url));
    for (const name of ['envelope', 'named']) url.searchParams.delete(name);
    /** @type {Query} */
    const query = { types: types?.join(), channel: channels?.join(), ...more };
    if (after !== undefined) Object.assign(query, { after });
    else Object.assign(query, { tail, from });
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    return url;
  }

  async #hasEnded() {
    const timeout = AbortSignal.timeout(this.options.openMs ?? OPEN_MS);
    const { signal } = this.options;
    const url = /** @type {URL} */ (this.#url);
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    const response = await this.#host.fetch(url, { headers: { accept: 'application/json' }, signal: either });
    if (!response.ok) throw await HostError.of(response);
    return ENDS.has(`run.${(await response.json()).status}`);
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
        const whole = frames.take(value);
        this.retryMs = frames.retryMs;
        yield whole;
      }
    } finally {
      watchdog.close();
    }
  }
}

/** Cuts bytes into server-sent events. One that the connection's end cuts off is dropped: it comes again. */
class Frames {
  /** @type {number | undefined} */
  retryMs;
  #decoder = new TextDecoder();
  #rest = '';
  /** @type {string[]} */
  #data = [];

  /** The data of each event that is complete. @param {Uint8Array} bytes */
  take(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    /** @type {string[]} */
    const whole = [];
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#line(this.#rest + text.slice(from, end), whole);
      this.#rest = '';
      from = end + 1;
    }
    this.#rest += text.slice(from);
    if (this.#rest.length > MAX_LINE_CHARS) throw new Error('a line of the stream never ends');
    return whole;
  }

  /** @param {string} line @param {string[]} whole */
  #line(line, whole) {
    const [, field, value] = /^([^:\r]*):? ?(.*?)\r?$/s.exec(line) ?? [];
    if (field === 'data') this.#data.push(value ?? '');
    else if (field === 'retry' && value && /^\d+$/.test(value)) this.retryMs = Number(value);
    else if (field === '' && /^\r?$/.test(line) && this.#data.length) whole.push(this.#data.splice(0).join('\n'));
  }
}

/** Nothing came for too long. */
class Silence extends Error {
  heard = false;
}

/**
 * Ends a connection on which nothing comes: some proxies keep one open that is long dead.
 * By the time of day, because other clocks stand still while a laptop sleeps.
 */
class Watchdog {
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
    if (patienceMs > 0 && patienceMs < 2 ** 31) this.#timer = setInterval(() => this.#look(), Math.min(patienceMs / 4, 5000));
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

/** Whether another try could succeed. @param {unknown} error */
function mayPass(error) {
  return !(error instanceof HostError) || PASSING.has(error.status);
}

/** @param {unknown} error */
function retryAfter(error) {
  return error instanceof HostError ? error.retryAfterMs : undefined;
}

/** A pause, at random up to half shorter, so that not all who lost a host come back at once. @param {number} failures @param {number} [askedMs] @param {number} [firstMs] */
function backoff(failures, askedMs, firstMs) {
  const longest = Math.max(Math.min((firstMs ?? askedMs ?? RETRY_MS) * 2 ** failures, MAX_RETRY_MS), firstMs ? 0 : (askedMs ?? 0));
  return longest * (1 - Math.random() / 2);
}

/** Waits; shorter if the page comes back to life meanwhile. @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      forget();
      signal?.removeEventListener('abort', over);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, ms);
    const forget = onWake(over);
    signal?.addEventListener('abort', over);
    if (signal?.aborted) over();
  });
}

/** Calls back when a page may have slept or the network is another one; returns what ends that. @param {(isOnline: boolean) => void} callback */
function onWake(callback) {
  const page = globalThis.document;
  if (!page) return () => {};
  const online = () => callback(true);
  const awake = () => page.visibilityState === 'visible' && callback(false);
  globalThis.addEventListener('online', online);
  globalThis.addEventListener('pageshow', awake);
  page.addEventListener('visibilitychange', awake);
  return () => {
    globalThis.removeEventListener('online', online);
    globalThis.removeEventListener('pageshow', awake);
    page.removeEventListener('visibilitychange', awake);
  };
}
