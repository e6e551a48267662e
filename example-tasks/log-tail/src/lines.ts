/** A line without a break for so long is sent in parts: memory and events are limited. */
const LONGEST_LINE_BYTES = 64 * 1024;

const BREAK = 0x0a;

/** Cuts bytes into lines. What comes after the last break waits for more. */
export class Lines {
  #rest = new Uint8Array(0);

  /** How many bytes wait for the end of their line. */
  get pending(): number {
    return this.#rest.length;
  }

  clear(): void {
    this.#rest = new Uint8Array(0);
  }

  /** Each line, and how many bytes it takes with its break. */
  *of(chunks: Iterable<Uint8Array>): Generator<{ text: string; bytes: number }> {
    const decoder = new TextDecoder();
    for (const chunk of chunks) {
      let bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
      for (let end = lengthOfLine(bytes); end > 0; end = lengthOfLine(bytes)) {
        const line = bytes.subarray(0, end);
        bytes = bytes.subarray(end);
        // Before the caller goes on: it may stop, or ask what is pending.
        this.#rest = bytes;
        yield { text: decoder.decode(line).replace(/\r?\n$/, ''), bytes: end };
      }
      this.#rest = bytes.slice();
    }
  }
}

/** With its break; 0 if it is not complete. */
function lengthOfLine(bytes: Uint8Array): number {
  const at = bytes.indexOf(BREAK);
  if (at >= 0 && at < LONGEST_LINE_BYTES) return at + 1;
  return bytes.length > LONGEST_LINE_BYTES ? LONGEST_LINE_BYTES : 0;
}
