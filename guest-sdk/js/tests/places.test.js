// Where something was thrown: the maps that the build makes, as the SDK reads them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as esbuild from 'esbuild';

import { linesOf } from '../build/source-map.js';
import { Failure, HostError, stackOf, toFailure } from '../src/errors.js';
import { decode, encode } from '../src/mappings.js';
import { frames, place, readable } from '../src/places.js';

/** A bundle of two lines: of the author's, and between them what is not. */
const MAP = {
  file: 'task.js',
  sources: ['task.ts', 'node_modules/zod/index.js'],
  mappings: encode([
    [{ column: 0, source: 0, line: 11 }, { column: 20 }, { column: 30, source: 0, line: 4 }],
    [],
    [{ column: 2, source: 1, line: 99 }],
  ]),
};

test('mappings are read as they were written', () => {
  const lines = [
    [{ column: 0, source: 3, line: 1000 }, { column: 7 }, { column: 500, source: 0, line: 0 }], [],
    [{ column: 1, source: 1, line: 31 }, { column: 2, source: 1, line: 16 }],
  ];
  assert.deepEqual(decode(encode(lines)), lines);
});

test('frames are named by file and line of the author, without those of the SDK', () => {
  const stack = [
    'deep@task.js:1:5', 'inner@task.js:1:25', 'async*outer/<@task.js:1:31', 'parse@task.js:3:9', 'gone@task.js:2:1',
    'export_process@/tmp/initializer.js:9:9', '',
  ].join('\n');
  assert.deepEqual(frames(stack, MAP), [
    { name: 'deep', source: 'task.ts', line: 12 },
    { name: '', source: 'task.ts', line: 5 },
    { name: 'parse', source: 'node_modules/zod/index.js', line: 100 },
  ]);
  assert.equal(readable(stack, MAP), '    at deep (task.ts:12)\n    at task.ts:5\n    at parse (node_modules/zod/index.js:100)');
});

test("the place is the author's own line, also when a package threw", () => {
  assert.equal(place('parse@task.js:3:9\ndeep@task.js:1:5', MAP), 'in deep at task.ts:12');
  assert.equal(place('parse@task.js:3:9', MAP), 'in parse at node_modules/zod/index.js:100');
  assert.equal(place('outer/<@task.js:1:5', MAP), 'at task.ts:12');
  assert.equal(place('nothing@other.js:1:5', MAP), undefined);
  assert.equal(place(undefined, MAP), undefined);
});

test('an endless recursion is told in some fifty lines', () => {
  const lines = readable('f@task.js:1:5\n'.repeat(10_000), MAP).split('\n');
  assert.equal(lines.length, 51);
  assert.equal(lines.at(-1), '    and 9950 more');
});

test('a map of esbuild keeps the line of each statement, whether minified or not', async () => {
  const text = 'export function f(x) {\n  // why\n  x();\n\n  return x\n    .y(1);\n}\n';
  for (const minify of [false, true]) {
    const { code, map } = await esbuild.transform(text, { minify, sourcemap: 'external', sourcefile: 'task.js' });
    const lines = { ...linesOf(map, '/project', 'out.js'), lines: undefined };
    const at = code.indexOf('y(1)');
    const before = code.slice(0, at).split('\n');
    const found = frames(`f@out.js:${before.length}:${before.at(-1).length + 1}`, lines);
    assert.deepEqual(found, [{ name: 'f', source: 'task.js', line: 6 }]);
  }
});

test('a bug and a refusal say message and place, a failure that was meant its message alone', () => {
  const MAPS = Symbol.for('streamtask.source-map');
  globalThis[MAPS] = MAP;
  try {
    const thrown = (error) => Object.assign(error, { stack: 'deep@task.js:1:5' });
    const message = (error) => toFailure(thrown(error)).message;
    assert.equal(message(new TypeError('x is undefined')), 'TypeError: x is undefined, in deep at task.ts:12');
    assert.equal(message(new Error('boom', { cause: new RangeError('why') })), 'boom: why, in deep at task.ts:12');
    assert.equal(message(new HostError('denied', 'not granted')), 'not granted, in deep at task.ts:12');
    assert.equal(message(new Failure('no such page')), 'no such page');
    const outer = thrown(new Error('boom', { cause: thrown(new RangeError('why')) }));
    assert.equal(stackOf(outer), 'Error: boom\n    at deep (task.ts:12)\ncaused by RangeError: why\n    at deep (task.ts:12)');
  } finally {
    delete globalThis[MAPS];
  }
});
