// Makes one module of src/. With --check it only says whether that is what streamtask.js is.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const BANNER = `// streamtask: a client for browsers and programs. Made of src/ by \`npm run build\`; not to be edited.
// Apache-2.0 OR MIT
`;

const { outputFiles } = await build({
  entryPoints: [here('src/index.js')],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  banner: { js: BANNER },
  write: false,
});
// Of where things lie it says nothing.
const made = (outputFiles[0]?.text ?? '').replace(/^\/\/ \S*src\/(\S+)$/gm, '// $1');
if (!process.argv.includes('--check')) {
  await writeFile(here('streamtask.js'), made);
} else if (made !== (await readFile(here('streamtask.js'), 'utf8'))) {
  console.error('streamtask.js is not what src/ makes: run `npm run build`');
  process.exit(1);
}
