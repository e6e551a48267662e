// Run by `npm run build`; the last of several `--out` counts.
import asc from 'assemblyscript/asc';

const out = process.argv[process.argv.lastIndexOf('--out') + 1];
const { error, stderr } = await asc.main([
  'assembly/collatz.ts', '--outFile', out, '--optimize', '--runtime', 'minimal',
  // An ordinary program: the host calls `_start`.
  '--exportStart', '_start', '--use', 'abort=assembly/wasi/abort',
]);
if (error) {
  console.error(stderr.toString() || error.message);
  process.exit(1);
}
