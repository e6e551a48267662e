/** A longer line is split, because memory and events are limited. */
const LONGEST_LINE_BYTES = 64 * 1024;

const BREAK = 0x0a;

/** Splits bytes into lines. Bytes after the last line break are kept until more arrive. */
export class Lines {
  #rest = new Uint8Array(0);

  /** The number of kept bytes without a line break. */
  get pending(): number {
    return this.#rest.length;
  }

  clear(): void {
    this.#rest = new Uint8Array(0);
  }

  /** Each line, with its length in bytes including the line break. */
  *of(chunks: Iterable<Uint8Array>): Generator<{ text: string; bytes: number }> {
    const decoder = new TextDecoder();
    for (const chunk of chunks) {
      let bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
      for (let end = lengthOfLine(bytes); end > 0; end = lengthOfLine(bytes)) {
        const line = bytes.subarray(0, end);
        bytes = bytes.subarray(end);
        // Before the yield, because the caller may stop or read `pending`.
        this.#rest = bytes;
        yield { text: decoder.decode(line).replace(/\r?\n$/, ''), bytes: end };
      }
      this.#rest = bytes.slice();
    }
  }
}

/** The length including the line break; 0 if the line is incomplete. */
function lengthOfLine(bytes: Uint8Array): number {
  const at = bytes.indexOf(BREAK);
  if (at >= 0 && at < LONGEST_LINE_BYTES) return at + 1;
  return bytes.length > LONGEST_LINE_BYTES ? LONGEST_LINE_BYTES : 0;
}
