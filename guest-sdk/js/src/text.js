// Text that UTF-8 and JSON can hold. A string may have half of a surrogate pair, which the host refuses: in
// its place goes U+FFFD, as `String.prototype.toWellFormed` does. Text that is fine is not copied.

/** As JSON escapes such a half, and every other escape, so that a backslash of the text itself is none. */
const ESCAPES = /\\(?:u(d[89a-f][0-9a-f]{2})|.)/g;

/** The text; what is no text stays as it is. */
export function wellFormed(text) {
  return typeof text === 'string' ? text.toWellFormed() : text;
}

/** The same for what `JSON.stringify` made: it escapes only halves in this way. */
export function wellFormedJson(json) {
  if (!json.includes('\\ud')) return json;
  return json.replace(ESCAPES, (escape, half) => (half === undefined ? escape : '\ufffd'));
}

/** A host to which no other text goes. */
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
