// What the build makes of a module.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { InitError, snapshot } from '../build/snapshot.js';
import { Reader, joined, moduleOf, name, sectionsOf, signed, u32, vector } from '../build/wasm.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const CLI = fileURLToPath(new URL('../build/cli.js', import.meta.url));

async function withFolder(use) {
  const folder = await mkdtemp(join(here, 'tmp-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const [I32, I64, FUNCTION, MEMORY] = [0x7f, 0x7e, 0x60, 2];
const bytes = (...all) => Uint8Array.from(all);

/** When it is initialized, it takes in four random bytes and the time, and counts in a global. */
const MODULE = moduleOf(bytes(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), [
  { id: 1, content: vector([bytes(FUNCTION, 0, 0), bytes(FUNCTION, 2, I32, I32, 1, I32), bytes(FUNCTION, 3, I32, I64, I32, 1, I32)]) },
  { id: 2, content: vector(['random_get', 'clock_time_get'].map((text, nth) =>
    joined([name('wasi_snapshot_preview1'), name(text), bytes(0, 1 + nth)]))) },
  { id: 3, content: vector([bytes(0)]) },
  { id: 5, content: vector([bytes(1, 1, 2)]) },
  { id: 6, content: vector([joined([bytes(I32, 1, 0x41), signed(-1), bytes(0x0b)])]) },
  { id: 7, content: vector([joined([name('init'), bytes(0, 2)]), joined([name('memory'), bytes(MEMORY, 0)])]) },
  { id: 10, content: vector([codeOf(
    bytes(0x41), signed(100), bytes(0x41, 4, 0x10, 0, 0x1a), // drop(random_get(100, 4))
    bytes(0x41, 0, 0x42, 0, 0x41), signed(32768), bytes(0x10, 1, 0x1a), // drop(clock_time_get(0, 0, 32768))
    bytes(0x23, 0, 0x41), signed(64), bytes(0x6a, 0x24, 0), // the global += 64
  )]) },
]);

function codeOf(...instructions) {
  const body = joined([bytes(0), ...instructions, bytes(0x0b)]);
  return joined([u32(body.length), body]);
}

const WORLD = { env: {}, stdin: '', files: {} };

const taken = () => snapshot(MODULE, { init: 'init', gone: [], world: WORLD, check() {} });

test('a snapshot has the memory and the globals that the initialization left, and not its export', async () => {
  const wasm = await taken();
  const { instance } = await WebAssembly.instantiate(wasm, {
    wasi_snapshot_preview1: { random_get() {}, clock_time_get() {} },
  });
  assert.deepEqual(Object.keys(instance.exports), ['memory']);
  const memory = new DataView(instance.exports.memory.buffer);
  assert.notEqual(memory.getUint32(100), 0);
  assert.equal(new Date(Number(memory.getBigUint64(32768, true) / 1_000_000n)).getUTCFullYear(), 2000);
  const globals = new Reader(sectionsOf(wasm).find(({ id }) => id === 6).content);
  assert.deepEqual([...globals.bytes(7)], [1, 0x7f, 1, 0x41, ...signed(63), 0x0b]);
});

test('a snapshot is the same each time, with the randomness and the clock of then', async () => {
  assert.deepEqual(await taken(), await taken());
});

test('what can be had only in a run is refused by its name while a module is built', async () => {
  const wasm = moduleOf(MODULE, sectionsOf(MODULE).map(({ id, content }) => {
    if (id !== 2) return { id, content };
    return { id, content: Buffer.from(Buffer.from(content).toString('latin1').replaceAll('preview1', 'previewX'), 'latin1') };
  }));
  const refused = snapshot(wasm, { init: 'init', gone: [], world: WORLD, check() {} });
  await assert.rejects(refused, (error) => error instanceof InitError && /can't call wasi_snapshot_previewX random_get/.test(error.message));
});

test('numbers are as WebAssembly has them', () => {
  for (const value of [0, 127, 128, 624485, 2 ** 32 - 1]) assert.equal(new Reader(u32(value)).u32(), value);
  assert.deepEqual([...signed(63)], [63]);
  assert.deepEqual([...signed(64)], [0xc0, 0]);
  assert.deepEqual([...signed(-123456)], [0xc0, 0xbb, 0x78]);
  assert.deepEqual([...signed(-1n)], [0x7f]);
});

const TASK = `
import { task } from 'streamtask-sdk';

const begun: number = Date.now();

export default task({ description: 'Tells.' }, (ctx) => { ctx.log('x'); return { begun }; });
`;

test('the same source makes the same bytes, in whatever folder, and the build says what it does', async () => {
  await withFolder(async (folder) => {
    const outs = [];
    for (const nth of ['one', 'another']) {
      const project = join(folder, nth);
      await mkdir(project);
      await writeFile(join(project, 'task.ts'), TASK);
      const { stdout, stderr } = await run(process.execPath, [CLI, 'task.ts', '--out', 'out.wasm'], { cwd: project });
      assert.match(stderr, /bundling task\.ts\n.*compiling \d+ KB/);
      assert.match(stdout, /^out\.wasm: \d+\.\d MB in \d+ s\n$/);
      outs.push(await readFile(join(project, 'out.wasm')));
    }
    assert.ok(outs[0].equals(outs[1]), 'the two differ');
    assert.ok(!outs[0].includes(folder), 'it has the name of the folder in it');
  });
});

test('an error at the top of a module is told with its place in the source', async () => {
  await withFolder(async (folder) => {
    const text = `${TASK}\nfunction deep(): never {\n  throw new RangeError('too early');\n}\ndeep();\n`;
    await writeFile(join(folder, 'task.ts'), text);
    const failed = run(process.execPath, [CLI, 'task.ts', '--out', 'out.wasm'], { cwd: folder });
    await assert.rejects(failed, ({ code, stderr }) => {
      assert.equal(code, 1);
      assert.match(stderr, /when it is built, failed: RangeError: too early\n    at deep \(task\.ts:9\)\n    at task\.ts:11\n$/);
      return true;
    });
  });
});
