// Bundles src/ and its libraries into streamtask.js, and their licences into LICENSES-BUNDLED.txt. With --check, it only
// checks that these files are up to date.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const LIBRARIES = ['dompurify', 'markdown-it'];
const COMMON = /** @type {const} */ ({ bundle: true, target: 'es2022', charset: 'utf8', write: false });

/** Bundles the libraries into a minified script that defines the object `libraries`; also returns its source files. */
async function bundleLibraries() {
  const contents = LIBRARIES.map((name) => `export { default as ${idOf(name)} } from '${name}';`).join('\n');
  const { outputFiles, metafile } = await build({
    ...COMMON,
    stdin: { contents, resolveDir: here('.') },
    format: 'iife',
    globalName: 'libraries',
    minify: true,
    metafile: true,
    absWorkingDir: here('.'),
    legalComments: 'none',
  });
  return { code: outputFiles[0]?.text ?? '', files: Object.keys(metafile.inputs) };
}

/** @param {string} name */
function idOf(name) {
  return name.replace(/\W/g, '_');
}

/** Name, version and licence of the packages that contain these files. @param {string[]} files */
async function packagesOf(files) {
  const folders = new Set(files.flatMap((file) => /.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0] ?? []));
  const packages = [...folders].map(async (folder) => {
    const { name, version, license } = JSON.parse(await readFile(here(`${folder}/package.json`), 'utf8'));
    return { name, version, license, text: (await licenceOf(folder)).trim() };
  });
  return (await Promise.all(packages)).sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** @param {string} folder */
async function licenceOf(folder) {
  for (const name of ['LICENSE', 'LICENSE.txt', 'LICENSE-MIT.txt']) {
    const text = await readFile(here(`${folder}/${name}`), 'utf8').catch(() => undefined);
    if (text !== undefined) return text.replace(/\r\n/g, '\n');
  }
  throw new Error(`${folder} has no licence text`);
}

/** The header of the module with the licences, so that copies of the module include them. @param {Awaited<ReturnType<typeof packagesOf>>} packages */
function notices(packages) {
  return packages.map(({ name, version, license, text }) => {
    // The Apache license is long and well known. DOMPurify's own build only names it, too.
    const isApache = /Apache License\s+Version 2\.0/.test(text);
    const terms = isApache ? '(c) Cure53 and other contributors. http://www.apache.org/licenses/LICENSE-2.0' : text;
    return `${name} ${version}, ${license}\n\n${terms}`.replaceAll('*/', '* /');
  });
}

/** Bundles src/, with the libraries as variables. */
async function bundleSource() {
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: [here('src/index.js')],
    format: 'esm',
    plugins: [
      {
        name: 'libraries',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: new RegExp(`^(${LIBRARIES.join('|')})$`) }, ({ path }) => ({ path, namespace: 'library' }));
          onLoad({ filter: /.*/, namespace: 'library' }, ({ path }) => ({ contents: `export default libraries.${idOf(path)};` }));
        },
      },
    ],
  });
  // Removes paths of this machine from the comments.
  return (outputFiles[0]?.text ?? '').replace(/^\/\/ \S*src\/(\S+)$/gm, '// $1');
}

const libraries = await bundleLibraries();
const packages = await packagesOf(libraries.files);
const rule = `\n\n${'-'.repeat(80)}\n\n`;
const made = {
  'streamtask.js':
    '// streamtask: a client for browsers and programs. Generated from src/ by `npm run build`; do not edit.\n// Apache-2.0 OR MIT\n' +
    `/*! Contains these libraries, in the line below:\n\n${notices(packages).join(rule)}\n*/\n${libraries.code}${await bundleSource()}`,
  'LICENSES-BUNDLED.txt': `streamtask.js contains these libraries.${rule}${packages
    .map(({ name, version, license, text }) => `${name} ${version}, ${license}\n\n${text}`)
    .join(rule)}\n`,
};
for (const [name, text] of Object.entries(made)) {
  if (!process.argv.includes('--check')) {
    await writeFile(here(name), text);
    console.log(`${name}: ${Buffer.byteLength(text)} bytes, ${gzipSync(text, { level: 9 }).length} compressed`);
  } else if (text !== (await readFile(here(name), 'utf8').catch(() => ''))) {
    console.error(`${name} is not up to date with src/ and the libraries: run \`npm run build\``);
    process.exitCode = 1;
  }
}
