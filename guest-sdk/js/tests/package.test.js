// What the package ships, and what its README says.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as esbuild from 'esbuild';

import * as sdk from 'streamtask-sdk';
import { build, BuildError } from 'streamtask-sdk/build';
import { Recording } from 'streamtask-sdk/testing';

const here = fileURLToPath(new URL('.', import.meta.url));
const read = (path) => readFile(new URL(path, import.meta.url), 'utf8');

/** A folder from which the package can be imported by its name. */
async function withFolder(use) {
  const folder = await mkdtemp(join(here, 'tmp-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The blocks of a language in the README, as modules. */
async function readmeModules(folder) {
  const blocks = [...(await read('../README.md')).matchAll(/```(js|ts)\n(.*?)```/gs)];
  return Promise.all(
    blocks.map(async ([, loader, text], i) => {
      const file = join(folder, `block-${i}.mjs`);
      await writeFile(file, (await esbuild.transform(text, { loader })).code);
      return { file, text };
    }),
  );
}

test('the contract that is shipped is that of the host', async () => {
  assert.equal(await read('../wit/task.wit'), await read('../../../wit/task.wit'));
});

test('all that is exported has a type, and the other way round', async () => {
  const types = await read('../src/index.d.ts');
  const typed = [...types.matchAll(/^export (?:function|class) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual([...new Set(typed)].sort(), Object.keys(sdk).sort());
});

test('the tasks of the README do what it says', async () => {
  await withFolder(async (folder) => {
    const [greet, count, importer, testing] = await readmeModules(folder);
    const run = new Recording();
    const { default: greeting } = await import(greet.file);
    assert.deepEqual(await run.start(greeting, { names: ['Ada', 'Alan'] }), { greeted: 2 });
    assert.deepEqual(run.data('greeting'), ['Hello, Ada!', 'Hello, Alan!']);
    assert.equal(run.elapsed, 2000);

    const { default: steps } = await import(count.file);
    assert.deepEqual(await new Recording().start(steps), { step: 10, total: 10 });
    await imports((await import(importer.file)).default);

    const [, body] = testing.text.match(/async \(\) => \{\n(.*)\n\}\);/s);
    const check = new Function('assert', 'Recording', 'count', `return (async () => {${body}})()`);
    await check(assert, Recording, steps);
  });
});

/** The importer, from a server with three pages, of which the second fails once. */
async function imports(task) {
  const asked = [];
  const server = createServer((request, response) => {
    const page = Number(new URL(request.url, 'http://localhost').searchParams.get('page'));
    asked.push(page);
    const fails = page === 2 && asked.filter((one) => one === 2).length === 1;
    response.writeHead(fails ? 503 : 200).end(JSON.stringify(Array(page).fill('item')));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const input = { url: `http://127.0.0.1:${server.address().port}/list`, pages: 3 };
    const first = new Recording();
    await assert.rejects(first.start(task, input), { code: 'bad-answer', retryable: true, message: /page 2.*503/ });
    const checkpoints = Object.fromEntries(first.checkpoints);
    const second = new Recording({ attempt: 2, checkpoints });
    assert.deepEqual(await second.start(task, input), { pages: 3, items: 6 });
    assert.deepEqual(second.data('page'), [{ page: 2, items: 2 }, { page: 3, items: 3 }]);
    assert.deepEqual(asked, [1, 2, 2, 3]);
    const stopped = new Recording({ signals: [{ name: 'stop' }], checkpoints });
    assert.deepEqual(await stopped.start(task, input), { pages: 1, items: 1 });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test('a module without a task, and one that cannot be bundled, are told before anything is compiled', async () => {
  await withFolder(async (folder) => {
    const entry = join(folder, 'task.ts');
    for (const [text, message] of [
      ['export const x: number = 1;', /task\.ts exports no task/],
      ["import 'node:fs'; export default 1;", /node:fs/],
      ['export default task(;', /Unexpected ";"/],
    ]) {
      await writeFile(entry, text);
      await assert.rejects(build(entry, join(folder, 'task.wasm')), (error) => {
        assert.ok(error instanceof BuildError);
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(build(join(folder, 'missing.js'), 'x.wasm'), BuildError);
  });
});
