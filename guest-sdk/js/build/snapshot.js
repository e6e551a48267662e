// Takes a snapshot of a module after its initialization: its memory and globals. Works like wizer, but the
// module's environment is the same on every machine and at any time, so that builds are reproducible.

import { SECTION, Reader, joined, moduleOf, name, sectionsOf, signed, u32, vector } from './wasm.js';
import { Exit, Wasi } from './wasi.js';

const PAGE_BYTES = 65536;

/** The size of a segment header: shorter runs of zeros are cheaper to store than to skip. */
const GAP_BYTES = 12;

/** Most segments: half of the limit of engines. */
const MOST_SEGMENTS = 50_000;

const TYPES = { 0x7f: 'i32', 0x7e: 'i64' };
const CONST = { i32: 0x41, i64: 0x42 };
const END = 0x0b;
const KIND_GLOBAL = 3;

/** The prefix of the names under which globals are exported during initialization. */
const globalName = (index) => `streamtask-global-${index}`;

const AT_THE_TOP = 'the code at the top of a module, which runs when it is built,';

/** The module could not be initialized; the message is its output. */
export class InitError extends Error {}

/**
 * Calls `init` of the module in the environment `world` (`{ env, stdin, files }`). Returns the module as it is
 * then, without the exports in `gone`. Calls `check` with its exports.
 */
export async function snapshot(wasm, { init, gone, world, check }) {
  const sections = sectionsOf(wasm);
  const globals = globalsOf(sections);
  const instance = await initialized(moduleOf(wasm, withGlobalsExported(sections, globals)), init, world);
  const memory = new Uint8Array(instance.exports.memory.buffer);
  const values = globals.map((global, index) => (global.isMutable ? instance.exports[globalName(index)].value : undefined));
  const taken = moduleOf(wasm, rewritten(sections, { globals, values, memory, gone: [...gone, init, '_initialize'] }));
  // It can change the instance, which is not needed any more.
  check(instance.exports);
  return taken;
}

async function initialized(wasm, init, world) {
  const module = await WebAssembly.compile(wasm);
  const wasi = new Wasi(world);
  const instance = await WebAssembly.instantiate(module, importsOf(module, wasi));
  wasi.memory = instance.exports.memory;
  try {
    instance.exports._initialize?.();
    instance.exports[init]();
  } catch (error) {
    if (!(error instanceof Exit) && !(error instanceof WebAssembly.RuntimeError)) throw error;
    throw new InitError(`${AT_THE_TOP} failed: ${wasi.printed.trim() || error.message}`, { cause: error });
  }
  return instance;
}

function importsOf(module, wasi) {
  const imports = {};
  const { functions } = wasi;
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    const own = from === 'wasi_snapshot_preview1' ? functions[name] : undefined;
    imports[from][name] = own ?? (() => {
      throw new InitError(`${AT_THE_TOP} can't call ${from} ${name}; do so in the task's function`);
    });
  }
  return imports;
}

function find(sections, id) {
  return sections.find((section) => section.id === id)?.content ?? Uint8Array.of(0);
}

// `{ type, isMutable, bytes }`; immutable globals keep their bytes.
function globalsOf(sections) {
  const content = find(sections, SECTION.global);
  const reader = new Reader(content);
  return Array.from({ length: reader.u32() }, () => {
    const type = reader.byte();
    const isMutable = reader.byte() === 1;
    const opcode = reader.byte();
    if (TYPES[type] === undefined || opcode !== CONST[TYPES[type]]) throw new Error('the engine has a global of an unknown form');
    const init = [opcode];
    do init.push(reader.byte());
    while (init.at(-1) >= 128);
    init.push(reader.byte());
    return { type, isMutable, bytes: Uint8Array.from([type, isMutable ? 1 : 0, ...init]) };
  });
}

function exportsOf(sections) {
  const reader = new Reader(find(sections, SECTION.export));
  return Array.from({ length: reader.u32() }, () => ({ name: reader.name(), kind: reader.byte(), index: reader.u32() }));
}

function exportSection(exports) {
  return vector(exports.map(({ name: text, kind, index }) => joined([name(text), Uint8Array.of(kind), u32(index)])));
}

function withGlobalsExported(sections, globals) {
  const more = globals.map((_, index) => ({ name: globalName(index), kind: KIND_GLOBAL, index }));
  const content = exportSection([...exportsOf(sections), ...more.filter((_, index) => globals[index].isMutable)]);
  return sections.map((section) => (section.id === SECTION.export ? { ...section, content } : section));
}

function rewritten(sections, { globals, values, memory, gone }) {
  const data = dataOf(memory, GAP_BYTES);
  const contents = {
    [SECTION.memory]: memorySection(find(sections, SECTION.memory), memory.length / PAGE_BYTES),
    [SECTION.global]: vector(globals.map((global, index) => withValue(global, values[index]))),
    [SECTION.export]: exportSection(exportsOf(sections).filter((one) => !gone.includes(one.name))),
    [SECTION.dataCount]: u32(data.length),
  };
  const others = sections.filter(({ id }) => id !== SECTION.start && id !== SECTION.data);
  // Only custom sections follow the data.
  const end = others.findLastIndex(({ id }) => id !== SECTION.custom) + 1;
  others.splice(end, 0, { id: SECTION.data, content: vector(data) });
  return others.map(({ id, content }) => ({ id, content: contents[id] ?? content }));
}

function withValue({ type, isMutable, bytes }, value) {
  if (!isMutable) return bytes;
  return joined([Uint8Array.of(type, 1, CONST[TYPES[type]]), signed(value), Uint8Array.of(END)]);
}

function memorySection(content, pages) {
  const reader = new Reader(content);
  if (reader.u32() !== 1) throw new Error('the engine has not one memory');
  const hasMaximum = reader.byte() === 1;
  reader.u32();
  const maximum = hasMaximum ? u32(reader.u32()) : new Uint8Array();
  return vector([joined([Uint8Array.of(hasMaximum ? 1 : 0), u32(pages), maximum])]);
}

// Segments for all non-zero memory.
function dataOf(memory, gap) {
  const segments = [];
  for (let from = nextByte(memory, 0); from < memory.length; ) {
    let end = from + 1;
    let next = nextByte(memory, end);
    while (next < memory.length && next - end <= gap) {
      end = next + 1;
      next = nextByte(memory, end);
    }
    const offset = joined([Uint8Array.of(0, CONST.i32), signed(from | 0), Uint8Array.of(END)]);
    segments.push(joined([offset, u32(end - from), memory.subarray(from, end)]));
    from = next;
  }
  return segments.length > MOST_SEGMENTS ? dataOf(memory, gap * 2) : segments;
}

// The position of the next non-zero byte.
function nextByte(memory, from) {
  const word = 8;
  let at = from;
  while (at < memory.length && at % word !== 0 && memory[at] === 0) at += 1;
  if (at % word !== 0 || at >= memory.length) return at;
  const words = new BigUint64Array(memory.buffer);
  let nth = at / word;
  while (nth < words.length && words[nth] === 0n) nth += 1;
  at = nth * word;
  while (at < memory.length && memory[at] === 0) at += 1;
  return at;
}
