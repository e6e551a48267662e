// JSON, with errors that say what it was about.

import { wellFormedJson } from './text.js';

/** The value of a JSON text; undefined if there is none. */
export function parseJson(text) {
  return text === undefined ? undefined : JSON.parse(text);
}

/** The JSON text of a value. `undefined`, which JSON lacks, is `null`. */
export function toJson(what, value) {
  try {
    return wellFormedJson(JSON.stringify(value) ?? 'null');
  } catch (error) {
    throw new TypeError(`${what} has no form in JSON: ${error.message}`, { cause: error });
  }
}
