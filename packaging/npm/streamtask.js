#!/usr/bin/env node
// Starts the program that npm has installed for this system.
'use strict';

const { spawn } = require('node:child_process');
const { constants } = require('node:os');
const { isatty } = require('node:tty');

const platform = `streamtask-linux-${process.arch}`;

let program;
try {
  program = require.resolve(`${platform}/bin/streamtask`);
} catch {
  console.error(
    `streamtask: the package ${platform} is not installed. streamtask runs on Linux (x64 and arm64) with glibc; on such a ` +
      'system, install it again without --omit=optional.',
  );
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });

// Whoever stops this process means the program, which then stops in order. A terminal sends its signals to both, and a second
// one would end the program by force.
const fromTerminal = isatty(0) ? ['SIGHUP', 'SIGINT'] : [];
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (!fromTerminal.includes(signal)) child.kill(signal);
  });
}

child.on('error', (error) => {
  console.error(`streamtask: can't start ${program}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
