// Builds a component from a module with a task: bundles it, determines its imports, compiles it.

import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import * as esbuild from 'esbuild';

import { componentOf } from './component.js';
import { InitError } from './snapshot.js';
import { ENTRY, linesOf, located, statementOf } from './source-map.js';

const WIT = fileURLToPath(new URL('../wit', import.meta.url));

/** The world of the component: the contract's, and further imports of the bundle. */
const WORLD = 'built';

/** An error in the task, with a message of one line. */
export class BuildError extends Error {}

/**
 * Compiles the module `entry` (JavaScript or TypeScript, with all that it imports) to the
 * component `out`. The module exports a task as `default`, or as `process` and `describe`.
 * `report` is called with a line before each step.
 */
export async function build(entry, out, { minify = false, report = () => {} } = {}) {
  report(`bundling ${entry}`);
  const { code, imports, map } = await bundled(resolve(entry), minify);
  report(`compiling ${Math.ceil(code.length / 1000)} KB with the engine, which takes some 10 s`);
  const component = await compiled(code, imports, entry, map);
  await mkdir(dirname(resolve(out)), { recursive: true });
  await writeFile(out, component);
  return { bytes: component.length };
}

async function compiled(code, imports, entry, map) {
  const wit = await mkdtemp(join(tmpdir(), 'streamtask-build-'));
  try {
    await writeWorld(wit, imports);
    return await componentOf(code, nameOf(entry), wit, WORLD);
  } catch (error) {
    if (!(error instanceof InitError)) throw error;
    throw new BuildError(`${entry}: ${located(error.message, map)}`, { cause: error });
  } finally {
    await rm(wit, { recursive: true, force: true });
  }
}

function nameOf(entry) {
  return `${basename(entry, extname(entry))}.js`;
}

// Returns the bundle, the map of its lines, and the interfaces that it imports.
async function bundled(entry, minify) {
  const folder = dirname(entry);
  const options = {
    bundle: true,
    format: 'esm',
    target: 'es2023',
    // The engine has the APIs of browser workers, but none of Node.js.
    platform: 'browser',
    conditions: ['streamtask', 'worker', 'import'],
    define: { 'process.env.NODE_ENV': '"production"' },
    external: ['streamtask:*', 'wasi:*'],
    minify,
    metafile: true,
    write: false,
    logLevel: 'silent',
    absWorkingDir: folder,
  };
  const exported = await exportsOf(entry, options);
  const contents = exported.includes('process')
    ? `export * from ${JSON.stringify(entry)};`
    : `import task from ${JSON.stringify(entry)};
       export const process = task.process, describe = task.describe;`;
  const stdin = { contents, resolveDir: folder, sourcefile: ENTRY, loader: 'js' };
  const outfile = join(folder, nameOf(entry));
  const { metafile, outputFiles } = await run({
    ...options, stdin, outfile, sourcemap: 'external', sourcesContent: false,
  });
  const [map, bundle] = ['.map', '.js'].map((end) => outputFiles.find(({ path }) => path.endsWith(end)).text);
  const [output] = Object.values(metafile.outputs).filter(({ entryPoint }) => entryPoint !== undefined);
  const lines = linesOf(map, folder, nameOf(entry));
  return {
    code: bundle + statementOf(lines),
    map: lines,
    imports: output.imports.filter(({ external }) => external).map(({ path }) => path),
  };
}

async function exportsOf(entry, options) {
  const { metafile } = await run({ ...options, entryPoints: [entry] });
  const { exports } = Object.values(metafile.outputs)[0];
  if (exports.includes('default') || (exports.includes('process') && exports.includes('describe'))) return exports;
  throw new BuildError(`${entry} exports no task; add \`export default task(…)\``);
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
  const [contract] = /^package .*;$/m.exec(await readFile(join(WIT, 'task.wit'), 'utf8'));
  const others = imports.filter((name) => name.startsWith('wasi:')).map((name) => `    import ${name};\n`);
  await writeFile(
    join(folder, 'world.wit'),
    `${contract}\n\nworld ${WORLD} {\n    include described-task;\n${others.join('')}}\n`,
  );
}
