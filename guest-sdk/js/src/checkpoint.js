// State that outlives the attempt.

import { parseJson, toJson } from './json.js';

export class Checkpoint {
  #host;

  constructor(host) {
    this.#host = host;
  }

  save(key, value) {
    this.saveBytes(key, new TextEncoder().encode(toJson(`the checkpoint ${key}`, value)));
  }

  load(key) {
    const bytes = this.loadBytes(key);
    if (bytes === undefined) return undefined;
    try {
      return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      throw new TypeError(`the checkpoint ${key} is not JSON; use \`loadBytes\``, { cause: error });
    }
  }

  saveBytes(key, bytes) {
    this.#host.save(key, bytes);
  }

  loadBytes(key) {
    return this.#host.load(key);
  }

  remove(key) {
    this.#host.remove(key);
  }
}
