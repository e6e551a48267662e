// Makes a component of a bundle: the steps of componentize-js, with our own snapshot (see snapshot.js).

import { readFile } from 'node:fs/promises';

import { componentNew, metadataAdd, preview1AdapterReactorPath } from '@bytecodealliance/jco';

import { InitError, snapshot } from './snapshot.js';

const COMPONENTIZE = import.meta.resolve('@bytecodealliance/componentize-js');
const { splicer } = await import(new URL('../lib/spidermonkey-embedding-splicer.js', COMPONENTIZE));

/** The features of the engine, without the HTTP server. */
const FEATURES = ['stdio', 'random', 'clocks', 'http'];

const BINDINGS = 'initializer.js';

/** The component of a bundle's `code`, called `file` in stacks, for the `world` in the folder `wit`. */
export async function componentOf(code, file, wit, world) {
  const engine = await readFile(new URL('../lib/starlingmonkey_embedding.wasm', COMPONENTIZE));
  const spliced = splicer.spliceBindings(engine, FEATURES, undefined, wit, world, false);
  const core = await snapshot(spliced.wasm, {
    init: 'componentize.wizer',
    gone: [],
    world: {
      env: environment(file, spliced),
      stdin: `--initializer-script-path /${BINDINGS} --strip-path-prefix / /${file}`,
      files: { [BINDINGS]: new TextEncoder().encode(spliced.jsBindings), [file]: new TextEncoder().encode(code) },
    },
    check({ check_init: check }) {
      if (check() !== 0) throw new InitError('the default export is not a task; use `export default task(…)`');
    },
  });
  const stubbed = splicer.stubWasi(core, FEATURES, undefined, wit, world);
  const adapter = [['wasi_snapshot_preview1', await readFile(preview1AdapterReactorPath())]];
  return metadataAdd(await componentNew(stubbed, adapter, false), [
    ['language', [['JavaScript', '']]],
    ['processed-by', [['ComponentizeJS', await version()]]],
  ]);
}

async function version() {
  return JSON.parse(await readFile(new URL('../package.json', COMPONENTIZE), 'utf8')).version;
}

// The environment variables that tell the engine its exports and imports.
function environment(file, { exports, imports }) {
  const env = {
    DEBUG: '', SOURCE_NAME: file, FEATURE_CLOCKS: '1', EXPORT_CNT: exports.length, IMPORT_CNT: imports.length,
  };
  for (const [nth, [name, { params, paramptr, ret, retptr, retsize }]] of exports.entries()) {
    env[`EXPORT${nth}_NAME`] = name;
    env[`EXPORT${nth}_ARGS`] = (paramptr ? '*' : '') + params.join(',');
    env[`EXPORT${nth}_RET`] = (retptr ? '*' : '') + (ret || '');
    env[`EXPORT${nth}_RETSIZE`] = retsize;
  }
  for (const [nth, [, name, count]] of imports.entries()) {
    env[`IMPORT${nth}_NAME`] = name;
    env[`IMPORT${nth}_ARGCNT`] = count;
  }
  return env;
}
