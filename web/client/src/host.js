// The API of a host: its tasks and runs.

import { Address } from './address.js';
import { RunError, mayPass, retryAfter } from './errors.js';
import { follow } from './follow.js';
import { ENDS } from './log.js';
import { backoff, pause } from './pauses.js';

/** @import { FollowOptions, Query, RunInfo, StartOptions } from '../streamtask.d.ts' */

/** Most repetitions of a start without a response. */
const START_RETRIES = 4;

/** A host, identified by its URL. */
export class Host extends Address {
  /** @param {string} task @param {unknown} [input] @param {StartOptions} [options] */
  start(task, input, options) {
    return launch(this, `${taskPath(task)}/runs`, input, options);
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

  /** @param {string} name @param {Blob | ArrayBuffer | ArrayBufferView} file @param {{ signal?: AbortSignal }} [options] */
  async putTask(name, file, { signal } = {}) {
    const headers = { 'content-type': 'application/wasm' };
    const { status } = await this.open('PUT', taskPath(name), { body: file, headers, signal });
    return status === 201 ? 'created' : status === 202 ? 'accepted' : 'replaced';
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
    // Only the last event is read, so a reconnect can start anywhere.
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

  /** @param {unknown} [input] @param {StartOptions} [options] */
  retry(input, options) {
    return launch(this.host, `/api/runs/${encodeURIComponent(this.id)}/retry`, input, options);
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

/** @param {Host} host @param {string} path @param {unknown} input @param {StartOptions} [options] */
async function launch(host, path, input, options = {}) {
  const { id, labels, idempotencyKey, notBefore, delay, priority, resources, ifBusy, onDisconnect, signal } = options;
  // Without a key, a start whose response was lost could not be repeated.
  const key = idempotencyKey ?? (id ? undefined : randomName());
  const headers = key ? { 'idempotency-key': key } : undefined;
  const label = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
  const moment = notBefore instanceof Date ? notBefore.toISOString() : notBefore;
  const wish = { resource: resources, if_busy: ifBusy, on_disconnect: onDisconnect };
  const query = { id, label, not_before: moment, delay, priority, ...wish };
  for (let tries = 0; ; tries += 1) {
    try {
      return new Run(host, await host.request('POST', path, { query, body: input, headers, signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (tries >= START_RETRIES || !mayPass(error)) throw error;
      const leastMs = retryAfter(error);
      await pause(backoff(tries, undefined, leastMs), { signal, isAskedFor: leastMs !== undefined });
    }
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
