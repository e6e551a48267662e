// Makes one module of src/ and of the libraries that it needs, and the file of their licences. With --check it only says
// whether these are what streamtask.js and LICENSES-BUNDLED.txt are.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const LIBRARIES = ['dompurify', 'markdown-it'];
const COMMON = /** @type {const} */ ({ bundle: true, target: 'es2022', charset: 'utf8', write: false });

/** The libraries as one small script, which makes the object `libraries`; and the files that are in it. */
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

/** Name, version and licence of the packages that these files are of. @param {string[]} files */
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

/** What is written at the top of the module: who copies it copies the licences. @param {Awaited<ReturnType<typeof packagesOf>>} packages */
function notices(packages) {
  return packages.map(({ name, version, license, text }) => {
    // The Apache license is long, and everybody has it. DOMPurify's own build names it in this way, too.
    const isApache = /Apache License\s+Version 2\.0/.test(text);
    const terms = isApache ? '(c) Cure53 and other contributors. http://www.apache.org/licenses/LICENSE-2.0' : text;
    return `${name} ${version}, ${license}\n\n${terms}`.replaceAll('*/', '* /');
  });
}

/** Made of src/, with the libraries as variables. */
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
  // Of where things lie it says nothing.
  return (outputFiles[0]?.text ?? '').replace(/^\/\/ \S*src\/(\S+)$/gm, '// $1');
}

const libraries = await bundleLibraries();
const packages = await packagesOf(libraries.files);
const rule = `\n\n${'-'.repeat(80)}\n\n`;
const made = {
  'streamtask.js':
    '// streamtask: a client for browsers and programs. Made of src/ by `npm run build`; not to be edited.\n// Apache-2.0 OR MIT\n' +
    `/*! It contains these libraries, in the line that follows:\n\n${notices(packages).join(rule)}\n*/\n${libraries.code}${await bundleSource()}`,
  'LICENSES-BUNDLED.txt': `streamtask.js contains these libraries.${rule}${packages
    .map(({ name, version, license, text }) => `${name} ${version}, ${license}\n\n${text}`)
    .join(rule)}\n`,
};
for (const [name, text] of Object.entries(made)) {
  if (!process.argv.includes('--check')) {
    await writeFile(here(name), text);
    console.log(`${name}: ${Buffer.byteLength(text)} bytes, ${gzipSync(text, { level: 9 }).length} compressed`);
  } else if (text !== (await readFile(here(name), 'utf8').catch(() => ''))) {
    console.error(`${name} is not what src/ and the libraries make: run \`npm run build\``);
    process.exitCode = 1;
  }
}
