// Makes text valid for UTF-8 and JSON. A string can contain lone surrogates, which the host rejects: they are
// replaced by U+FFFD, as in `String.prototype.toWellFormed`. Valid text is not copied.

/** Matches an escaped lone surrogate, and every other escape, so that an escaped backslash is skipped. */
const ESCAPES = /\\(?:u(d[89a-f][0-9a-f]{2})|.)/g;

/** Replaces lone surrogates in a string; other values stay unchanged. */
export function wellFormed(text) {
  return typeof text === 'string' ? text.toWellFormed() : text;
}

/** Does the same in the output of `JSON.stringify`, which escapes only lone surrogates in this way. */
export function wellFormedJson(json) {
  if (!json.includes('\\ud')) return json;
  return json.replace(ESCAPES, (escape, half) => (half === undefined ? escape : '\ufffd'));
}

/** Wraps a host so that it only receives valid text. */
export function withWellFormedText(host) {
  return {
    ...host,
    send: (channel, type, json) => host.send(wellFormed(channel), wellFormed(type), json),
    sendBytes: (channel, type, contentType, bytes) =>
      host.sendBytes(wellFormed(channel), wellFormed(type), wellFormed(contentType), bytes),
    receiveSignal: (name, ms) => host.receiveSignal(wellFormed(name), ms),
    parameter: (name) => host.parameter(wellFormed(name)),
    save: (key, bytes) => host.save(wellFormed(key), bytes),
    load: (key) => host.load(wellFormed(key)),
    remove: (key) => host.remove(wellFormed(key)),
    startChild: (task, input, options) =>
      host.startChild(wellFormed(task), input, { ...options, key: wellFormed(options.key) }),
  };
}
