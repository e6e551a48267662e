// From a module with a task to a component: bundle it, say what it imports, compile it.

import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { componentize } from '@bytecodealliance/componentize-js';
import * as esbuild from 'esbuild';

const WIT = fileURLToPath(new URL('../wit', import.meta.url));

/** What the engine brings along in every component, and what it must not: it would serve HTTP. */
const LEFT_OUT = ['fetch-event'];

/** The world that is compiled for: the task's own, and what else the bundle imports. */
const WORLD = 'built';

/** A mistake in the task, told in one line. */
export class BuildError extends Error {}

/**
 * Compiles the module `entry` (JavaScript or TypeScript, with all that it imports) to the
 * component `out`. The module exports a task as `default`, or as `process` and `describe`.
 */
export async function build(entry, out, { minify = false } = {}) {
  const work = await mkdtemp(join(tmpdir(), 'streamtask-build-'));
  try {
    const bundle = join(work, `${basename(entry, extname(entry))}.js`);
    const imports = await bundled(resolve(entry), bundle, minify);
    const wit = join(work, 'wit');
    await writeWorld(wit, imports);
    const { component } = await componentize({
      sourcePath: bundle,
      sourceName: basename(bundle),
      witPath: wit,
      worldName: WORLD,
      disableFeatures: LEFT_OUT,
    });
    await mkdir(dirname(resolve(out)), { recursive: true });
    await writeFile(out, component);
    return { bytes: component.length };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

// Returns the interfaces that the bundle imports.
async function bundled(entry, outfile, minify) {
  const options = {
    bundle: true,
    format: 'esm',
    target: 'es2023',
    // The engine has what browsers' workers have, and nothing of Node.js.
    platform: 'browser',
    conditions: ['streamtask', 'worker', 'import'],
    define: { 'process.env.NODE_ENV': '"production"' },
    external: ['streamtask:*', 'wasi:*'],
    minify,
    metafile: true,
    logLevel: 'silent',
    absWorkingDir: dirname(entry),
  };
  const exported = await exportsOf(entry, options);
  const contents = exported.includes('process')
    ? `export * from ${JSON.stringify(entry)};`
    : `import task from ${JSON.stringify(entry)};
       export const process = task.process, describe = task.describe;`;
  const stdin = { contents, resolveDir: dirname(entry), sourcefile: 'the entry', loader: 'js' };
  const { metafile } = await run({ ...options, stdin, outfile });
  const [output] = Object.values(metafile.outputs);
  return output.imports.filter(({ external }) => external).map(({ path }) => path);
}

async function exportsOf(entry, options) {
  const { metafile } = await run({ ...options, entryPoints: [entry], write: false });
  const { exports } = Object.values(metafile.outputs)[0];
  if (exports.includes('default') || (exports.includes('process') && exports.includes('describe'))) return exports;
  throw new BuildError(`${entry} exports no task: \`export default task(…)\` makes it one`);
}

async function run(options) {
  try {
    return await esbuild.build(options);
  } catch (error) {
    if (!error.errors) throw error;
    const lines = await esbuild.formatMessages(error.errors, { kind: 'error', color: false });
    throw new BuildError(lines.join('').trim(), { cause: error });
  }
}

async function writeWorld(folder, imports) {
  await cp(WIT, folder, { recursive: true });
  const others = imports.filter((name) => name.startsWith('wasi:')).map((name) => `    import ${name};\n`);
  await writeFile(
    join(folder, 'world.wit'),
    `package streamtask:task@1.0.0;\n\nworld ${WORLD} {\n    include described-task;\n${others.join('')}}\n`,
  );
}
