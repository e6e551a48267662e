// The functions that a task can call.

import { Checkpoint } from './checkpoint.js';
import { Child } from './child.js';
import { Cancelled, duration, LONGEST_MS, milliseconds } from './errors.js';
import { toJson } from './json.js';
import { View } from './view.js';

export class Context {
  #host;
  #waiting;

  constructor(host, waiting) {
    this.#host = host;
    this.#waiting = waiting;
    this.checkpoint = new Checkpoint(host);
    this.view = new View((type, data) => this.send(type, data));
  }

  send(type, data, { channel } = {}) {
    this.#host.send(channel, type, toJson('the data of the event', data));
  }

  sendBytes(type, contentType, bytes, { channel } = {}) {
    this.#host.sendBytes(channel, type, contentType, asBytes(bytes));
  }

  flush() {
    this.#host.flush();
  }

  progress(progress) {
    this.send('progress', progress);
  }

  log(message, level = 'info') {
    this.send('log', { level, message: String(message) });
  }

  async stream(values) {
    let last;
    const iterator = iteratorOf(values);
    let ended = false;
    try {
      for (;;) {
        this.checkCancelled();
        const { done, value } = await iterator.next();
        ended = done;
        if (done) return value === undefined ? last : value;
        this.progress(value);
        last = value;
      }
    } finally {
      // As in `for await`: runs the generator's own `finally`.
      if (!ended) await iterator.return?.();
    }
  }

  sleep(ms) {
    return this.#waiting.sleep(ms);
  }

  sleepSync(ms) {
    for (let left = duration(ms); ; left -= LONGEST_MS) {
      if (!this.#host.sleep(milliseconds(left)) || this.cancelled) throw new Cancelled();
      if (left <= LONGEST_MS) return;
    }
  }

  get signal() {
    return this.#waiting.signal;
  }

  get cancelled() {
    return this.#waiting.cancelled;
  }

  checkCancelled() {
    this.#waiting.checkCancelled();
  }

  get remaining() {
    return this.#host.remaining();
  }

  get info() {
    return this.#host.info();
  }

  receiveSignal(name, { timeout } = {}) {
    return this.#waiting.receiveSignal(name, timeout);
  }

  parameter(name) {
    return this.#host.parameter(name);
  }

  startChild(task, input = {}, options = {}) {
    const id = this.#host.startChild(task, toJson("the child's input", input), options);
    return new Child(id, this.#host, this.#waiting);
  }

  waitFor(child, options) {
    return child.outcome(options);
  }

  async waitForAny(children, { timeout } = {}) {
    const ended = await this.#waiting.waitForAny(children.map(({ id }) => id), timeout);
    return ended && { ...ended, child: children[ended.index] };
  }
}

function iteratorOf(values) {
  return values[Symbol.asyncIterator]?.() ?? values[Symbol.iterator]();
}

function asBytes(bytes) {
  if (bytes instanceof Uint8Array) return bytes;
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (typeof bytes === 'string') return new TextEncoder().encode(bytes);
  throw new TypeError('the bytes must be a Uint8Array, another view of a buffer, an ArrayBuffer or text');
}
