#!/usr/bin/env node
// `streamtask-build`: builds a component from a module with a task.

import { parseArgs } from 'node:util';

import { build, BuildError } from './build.js';

const HELP = `Compiles a task in JavaScript or TypeScript to a WebAssembly component.

Usage: streamtask-build ENTRY [--out FILE]

  ENTRY             the module whose default export is the task, such as src/task.ts
  -o, --out FILE    where the component goes [default: task.wasm]
      --minify      make the source within it smaller; stacks in the log get harder to read
  -h, --help        say this
`;

/** The same as for all commands of streamtask. */
const WRONG_ARGUMENTS = 2;

function report(message) {
  process.stderr.write(`streamtask-build: ${message}\n`);
}

function fail(message, code) {
  report(message);
  process.exitCode = code;
}

function read(args) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      out: { type: 'string', short: 'o', default: 'task.wasm' },
      minify: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

async function main(args) {
  let parsed;
  try {
    parsed = read(args);
  } catch (error) {
    return fail(error.message, WRONG_ARGUMENTS);
  }
  const { values, positionals } = parsed;
  if (values.help) return void process.stdout.write(HELP);
  if (positionals.length !== 1) return fail('say which module to compile; --help tells more', WRONG_ARGUMENTS);
  const begun = performance.now();
  try {
    const { bytes } = await build(positionals[0], values.out, { ...values, report });
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    process.stdout.write(`${values.out}: ${(bytes / 1e6).toFixed(1)} MB in ${seconds} s\n`);
  } catch (error) {
    // The compiler's stack does not help with an error in the task.
    fail(error instanceof BuildError ? error.message : error.stack, 1);
  }
}

await main(process.argv.slice(2));
