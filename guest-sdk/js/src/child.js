// A run that this one has started.

import { Failure } from './errors.js';

export class Child {
  #host;
  #waiting;

  constructor(id, host, waiting) {
    this.id = id;
    this.#host = host;
    this.#waiting = waiting;
  }

  /** How it ended; undefined when the time is over. */
  async outcome({ timeout } = {}) {
    return (await this.#waiting.waitForAny([this.id], timeout))?.outcome;
  }

  /** What it returned. Any other end is a failure of this run. */
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
