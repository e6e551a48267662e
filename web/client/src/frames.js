// An incremental parser of server-sent events (HTML Living Standard, section 9.2).

/** Longest line. No host sends a longer one; without a limit, another server could exhaust the memory. */
const MAX_LINE_CHARS = 64 << 20;

/** Parses bytes into server-sent events. An incomplete event at the connection's end is dropped, because it is sent again. */
export class Frames {
  /** @type {number | undefined} */
  retryMs;
  #decoder = new TextDecoder();
  #rest = '';
  /** @type {string[]} */
  #data = [];

  /** Returns the data of each complete event. @param {Uint8Array} bytes */
  take(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    /** @type {string[]} */
    const whole = [];
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#line(this.#rest + text.slice(from, end), whole);
      this.#rest = '';
      from = end + 1;
    }
    this.#rest += text.slice(from);
    if (this.#rest.length > MAX_LINE_CHARS) throw new Error('a line of the stream is too long');
    return whole;
  }

  /** @param {string} line @param {string[]} whole */
  #line(line, whole) {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (text === '') {
      if (this.#data.length) whole.push(this.#data.splice(0).join('\n'));
      return;
    }
    const colon = text.indexOf(':');
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
}
