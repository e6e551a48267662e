// A host that records events, for tests in Node.js.

import { HostError } from './errors.js';
import { parseJson } from './json.js';
import { ATTEMPT } from './task.js';

/** The host's default limit for the data of an event, in bytes. */
const MAX_EVENT_BYTES = 1024 * 1024;

/** The contract's limit for types, channels, content types and checkpoint keys, in bytes. */
const MAX_NAME_BYTES = 128;

const bytesOf = (text) => new TextEncoder().encode(text);

export class Recording {
  /** The events: `{ type, data, channel? }`, or with `contentType` and `bytes` in place of `data`. */
  events = [];
  /** The task and the input of each started child. */
  children = [];
  /** The saved checkpoints, as bytes, by key. */
  checkpoints = new Map();
  /** How long the task has slept and waited, in milliseconds. */
  elapsed = 0;
  #options;
  #signals;

  constructor(options = {}) {
    this.#options = options;
    this.#signals = [...(options.signals ?? [])];
    for (const [key, value] of Object.entries(options.checkpoints ?? {})) {
      this.checkpoints.set(key, value instanceof Uint8Array ? value : bytesOf(JSON.stringify(value)));
    }
  }

  /** Runs an attempt of the task: resolves to its result, rejects with the thrown error. */
  async start(task, input = {}) {
    return parseJson(await task[ATTEMPT](this.#host(), input));
  }

  get types() {
    return this.events.map(({ type }) => type);
  }

  data(type) {
    return this.events.filter((event) => event.type === type && 'data' in event).map(({ data }) => data);
  }

  get #cancelled() {
    return this.elapsed >= (this.#options.cancelAfter ?? Infinity);
  }

  // Advances the clock, at most to the time of the cancellation.
  #wait(ms) {
    if (ms === Infinity && this.#options.cancelAfter === undefined) {
      throw new Error('the task waits for a signal that the test does not send');
    }
    if (!this.#cancelled) this.elapsed = Math.min(this.elapsed + ms, this.#options.cancelAfter ?? Infinity);
    return !this.#cancelled;
  }

  #record(channel, type, content) {
    checkName('the event type', type);
    if (type.startsWith('run.') || type === 'gap') {
      throw invalid(`the event type ${JSON.stringify(type)} is reserved for the host`);
    }
    if (channel) checkName('the channel', channel);
    this.events.push(channel ? { channel, type, ...content } : { type, ...content });
  }

  #takeSignal(name, ms) {
    if (this.#cancelled) return undefined;
    const at = this.#signals.findIndex((signal) => name === undefined || signal.name === name);
    if (at >= 0) {
      const { name, payload = null } = this.#signals.splice(at, 1)[0];
      return { name, payload: structuredClone(payload) };
    }
    this.#wait(ms ?? Infinity);
    return undefined;
  }

  #endedChild(runs) {
    if (this.#cancelled) return undefined;
    if (runs.length === 0) throw invalid('the list of runs is empty');
    const child = this.children[Number(runs[0])];
    if (child === undefined) throw new HostError('not-found', `there is no child ${runs[0]}`);
    const outcome = this.#options.children[child.task];
    return { index: 0, outcome: structuredClone(typeof outcome === 'function' ? outcome(child.input) : outcome) };
  }

  #host() {
    const { attempt = 1, labels = {}, deadline, parameters = {}, children = {} } = this.#options;
    return {
      now: () => this.elapsed,
      // All signals and children exist from the start, so no polling is needed.
      slice: Infinity,
      send: (channel, type, json) => {
        checkSize(bytesOf(json).length);
        this.#record(channel, type, { data: JSON.parse(json) });
      },
      sendBytes: (channel, type, contentType, bytes) => {
        checkSize(bytes.length);
        checkName('the content type', contentType);
        this.#record(channel, type, { contentType, bytes: bytes.slice() });
      },
      flush() {},
      info: () => ({
        id: 'recording', app: 'test', task: 'test', version: '0'.repeat(64), attempt, labels: { ...labels },
      }),
      remaining: () => (deadline === undefined ? undefined : Math.max(0, deadline - this.elapsed)),
      cancelled: () => this.#cancelled,
      sleep: (ms) => this.#wait(ms),
      receiveSignal: (name, ms) => this.#takeSignal(name, ms),
      parameter: (name) => structuredClone(parameters[name]),
      save: (key, bytes) => {
        checkName("the checkpoint's key", key);
        this.checkpoints.set(key, bytes.slice());
      },
      load: (key) => {
        checkName("the checkpoint's key", key);
        return this.checkpoints.get(key)?.slice();
      },
      remove: (key) => {
        checkName("the checkpoint's key", key);
        this.checkpoints.delete(key);
      },
      startChild: (task, input) => {
        if (!Object.hasOwn(children, task)) {
          throw new HostError('not-found', `there is no task ${task}; define its outcome in \`children\``);
        }
        this.children.push({ task, input: JSON.parse(input) });
        return String(this.children.length - 1);
      },
      // Children end at once, with the outcome that the test defines.
      waitForChildren: (runs) => this.#endedChild(runs),
      cancelChild() {},
    };
  }
}

function checkName(what, name) {
  const { length } = bytesOf(name);
  if (length >= 1 && length <= MAX_NAME_BYTES && !/[\p{Cc}\u2028\u2029]/u.test(name)) return;
  throw invalid(`${what} ${JSON.stringify(name)} must have 1 to ${MAX_NAME_BYTES} bytes without control characters`);
}

function checkSize(length) {
  if (length <= MAX_EVENT_BYTES) return;
  throw new HostError('too-large', `the event's data has ${length} bytes; the limit is ${MAX_EVENT_BYTES}`);
}

function invalid(message) {
  return new HostError('invalid-argument', message);
}
