// Server-sent events out of bytes (HTML Living Standard, section 9.2).

/** Longest line. No host sends one; without a bound a wrong server could fill the memory. */
const MAX_LINE_CHARS = 64 << 20;

/** Cuts bytes into server-sent events. One that the connection's end cuts off is dropped: it comes again. */
export class Frames {
  /** @type {number | undefined} */
  retryMs;
  #decoder = new TextDecoder();
  #rest = '';
  /** @type {string[]} */
  #data = [];

  /** The data of each event that is complete. @param {Uint8Array} bytes */
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
    if (this.#rest.length > MAX_LINE_CHARS) throw new Error('a line of the stream never ends');
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
