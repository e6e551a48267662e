// Halves a number if it is even, otherwise triples it and adds one, until it is 1: an ordinary
// program that sends events and calls the host over its standard output.

import { exit, readLine, writeLine } from './wasi';

/** Three times this plus one still fits into 64 bits, and JSON parsers don't round it. */
const MOST: i64 = 1 << 51;
const PAUSE_MS = 50;

function fail(code: string, message: string): void {
  writeLine(`{"failure":{"code":"${code}","message":"${message}"}}`);
  exit(1);
}

/** Returns false if the run is cancelled. The host answers each call with one line. */
function sleep(ms: i32): bool {
  writeLine(`{"call":"sleep-ms","ms":${ms}}`);
  return readLine() == '{"ok":true}';
}

/** A positive integer; 0 for anything else. */
function parse(text: string): i64 {
  if (text.length == 0 || text.length > 16) return 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i);
    if (digit < 0x30 || digit > 0x39) return 0;
  }
  return I64.parseInt(text);
}

let n = parse(readLine().trim());
if (n < 1 || n > MOST) fail('invalid-input', `the input has to be a whole number from 1 to ${MOST}`);
let steps = 0;
let highest = n;
while (n != 1) {
  if (!sleep(PAUSE_MS)) {
    fail('cancelled', 'the run was cancelled');
  }
  if (n % 2 == 0) {
    n /= 2;
  } else {
    if (n > MOST) fail('too-high', `${n} is more than this can go on from`);
    n = 3 * n + 1;
  }
  steps++;
  if (n > highest) highest = n;
  writeLine(`{"event":"number","data":${n}}`);
}
writeLine(`{"result":{"steps":${steps},"highest":${highest}}}`);
