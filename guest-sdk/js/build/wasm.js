// The part of WebAssembly's binary format that snapshots use: sections, and the numbers in them.

/** The sections that snapshots read. */
export const SECTION = { custom: 0, memory: 5, global: 6, export: 7, start: 8, dataCount: 12, data: 11 };

/** Length of the magic number and the version. */
const PREAMBLE_BYTES = 8;

/** `{ id, content }` of each section. */
export function sectionsOf(wasm) {
  const reader = new Reader(wasm, PREAMBLE_BYTES);
  const sections = [];
  while (!reader.ended) {
    const id = reader.byte();
    sections.push({ id, content: reader.bytes(reader.u32()) });
  }
  return sections;
}

export function moduleOf(wasm, sections) {
  const parts = sections.flatMap(({ id, content }) => [Uint8Array.of(id), u32(content.length), content]);
  return joined([wasm.subarray(0, PREAMBLE_BYTES), ...parts]);
}

export class Reader {
  #bytes;
  #at;

  constructor(bytes, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get ended() {
    return this.#at >= this.#bytes.length;
  }

  byte() {
    this.#at += 1;
    return this.#bytes[this.#at - 1];
  }

  bytes(length) {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u32() {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  }

  name() {
    return new TextDecoder().decode(this.bytes(this.u32()));
  }
}

export function u32(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}

/** A signed number, of 32 or 64 bits. */
export function signed(value) {
  const bytes = [];
  for (let rest = BigInt(value); ; ) {
    const bits = Number(rest & 127n);
    rest >>= 7n;
    // Bit 6 of the last byte is the sign.
    const isLast = rest === (bits >= 64 ? -1n : 0n);
    bytes.push(isLast ? bits : bits + 128);
    if (isLast) return Uint8Array.from(bytes);
  }
}

export function name(text) {
  const bytes = new TextEncoder().encode(text);
  return joined([u32(bytes.length), bytes]);
}

/** A section's content: the number of items, and the items. */
export function vector(items) {
  return joined([u32(items.length), ...items]);
}

export function joined(parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
