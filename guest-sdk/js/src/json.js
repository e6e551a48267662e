// JSON conversion with errors that name the value.

import { wellFormedJson } from './text.js';

/** The value of a JSON text; undefined if the text is undefined. */
export function parseJson(text) {
  return text === undefined ? undefined : JSON.parse(text);
}

/** The JSON text of a value. `undefined`, which JSON does not have, becomes `null`. */
export function toJson(what, value) {
  try {
    return wellFormedJson(JSON.stringify(value) ?? 'null');
  } catch (error) {
    throw new TypeError(`${what} can't be encoded as JSON: ${error.message}`, { cause: error });
  }
}
