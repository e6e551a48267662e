// `node --import streamtask-sdk/typescript`: tests in TypeScript, in whatever version of Node.js.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { load, resolve, sync } from '../build/typescript-hooks.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));

const KIND = 'export enum Kind { A = "a" }\n';
const MAIN = `
import { Kind } from './kind.js';
import { Kind as Same } from './kind';

interface Place { n: number }

const place: Place = { n: 1 };
console.log(JSON.stringify([Kind.A === Same.A, place]));
throw new RangeError('here');
`;

test('a module in TypeScript runs, with what it imports and with the lines of its source', async () => {
  const folder = await mkdtemp(join(here, 'tmp-'));
  try {
    await writeFile(join(folder, 'kind.ts'), KIND);
    await writeFile(join(folder, 'main.ts'), MAIN);
    const failed = run(process.execPath, ['--import', 'streamtask-sdk/typescript', 'main.ts'], { cwd: folder });
    await assert.rejects(failed, ({ stdout, stderr }) => {
      assert.equal(stdout, '[true,{"n":1}]\n');
      assert.match(stderr, /main\.ts:9:7\b/);
      return true;
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('both ways that Node.js asks get the same answers', async () => {
  const missing = () => Object.assign(new Error('what was asked for'), { code: 'ERR_MODULE_NOT_FOUND' });
  const there = (specifier) => {
    if (specifier !== './a.mts' && specifier !== './b.js') throw missing();
    return { url: specifier };
  };
  for (const [specifier, url] of [['./a.mjs', './a.mts'], ['./b', './b.js']]) {
    assert.deepEqual(sync.resolve(specifier, {}, there), { url });
    assert.deepEqual(await resolve(specifier, {}, async (one) => there(one)), { url });
  }
  for (const specifier of ['./c.js', './c', 'a.mjs']) {
    assert.throws(() => sync.resolve(specifier, {}, there), /what was asked for/);
    await assert.rejects(resolve(specifier, {}, async (one) => there(one)), /what was asked for/);
  }
  const other = () => ({ format: 'module', source: 'unread' });
  assert.equal(sync.load('node:fs', {}, other).source, 'unread');
  assert.equal((await load('file:///x.js', {}, other)).source, 'unread');
});
