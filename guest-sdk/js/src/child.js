// A child run.

import { Failure } from './errors.js';

export class Child {
  #host;
  #waiting;

  constructor(id, host, waiting) {
    this.id = id;
    this.#host = host;
    this.#waiting = waiting;
  }

  /** The outcome; undefined after the timeout. */
  async outcome({ timeout } = {}) {
    return (await this.#waiting.waitForAny([this.id], timeout))?.outcome;
  }

  /** The result. If the child did not complete, throws a `Failure`. */
  async result() {
    const { status, value, error } = await this.outcome();
    if (status === 'completed') return value;
    if (status === 'cancelled') throw new Failure('a child was cancelled', { code: 'child-cancelled' });
    throw new Failure(`a child failed (${error.kind}): ${error.message}`);
  }

  cancel() {
    this.#host.cancelChild(this.id);
  }
}
