// A task made of a function.

import { host as guestHost } from '#host';
import { Context } from './context.js';
import { isExpected, toFailure, stackOf } from './errors.js';
import { installGlobals } from './globals.js';
import { parseJson, toJson } from './json.js';
import { parse } from './schema.js';
import { withWellFormedText } from './text.js';
import { Waiting } from './waiting.js';

/** The value that the engine throws when out of memory: a text without a stack. */
const OUT_OF_MEMORY = 'out of memory';

/** Runs the task with a given host; for tests. */
export const ATTEMPT = Symbol('attempt');

/**
 * Makes a function the task of this module. Returns the exports of the contract.
 */
export function task(about, work) {
  if (typeof about === 'function') [about, work] = [{}, about];
  if (typeof work !== 'function') throw new TypeError('task: a function is missing');
  const description = describe(about);
  return {
    describe: () => description,
    async process(input) {
      try {
        return await attempt(guestHost, about, work, input, installGlobals);
      } catch (thrown) {
        if (thrown === OUT_OF_MEMORY) trapForMemory(thrown);
        // The bindings return this as the contract's failure. Anything else would be a trap.
        throw Object.assign(new Error('the task failed'), { payload: toFailure(thrown) });
      }
    },
    [ATTEMPT]: (host, input) => attempt(host, about, work, toJson('the input', input)),
  };
}

// Running out of memory is not a failure of the contract: the host recognises it by these words before a trap.
// Throwing a value without a payload traps.
function trapForMemory(thrown) {
  console.error('fatal error: out of memory; JavaScript reports no place');
  throw thrown;
}

function describe({ description, input, output }) {
  return toJson('the description of the task', { description, input_schema: input, output_schema: output });
}

async function attempt(anyHost, about, work, inputJson, prepare) {
  const host = withWellFormedText(anyHost);
  const waiting = new Waiting(host);
  const ctx = new Context(host, waiting);
  const restore = prepare?.(waiting, (error) => logUncaught(ctx, 'in a timer: ', error));
  try {
    const input = parseJson(inputJson);
    const parsed = about.input === undefined ? input : parse(about.input, input);
    const result = await work(ctx, parsed);
    const value = isGenerator(result) ? await ctx.stream(result) : result;
    return toJson('the result', value);
  } catch (thrown) {
    if (!isExpected(thrown)) logUncaught(ctx, '', thrown);
    throw thrown;
  } finally {
    waiting.end();
    restore?.();
  }
}

// Only generator objects: an array is a normal result.
function isGenerator(result) {
  return typeof result?.next === 'function' &&
    (typeof result[Symbol.asyncIterator] === 'function' || typeof result[Symbol.iterator] === 'function');
}

function logUncaught(ctx, where, thrown) {
  const text = stackOf(thrown) ?? (where && toFailure(thrown).message);
  if (!text) return;
  try {
    ctx.log(where + text, 'error');
  } catch {
    // The failure itself is still reported.
  }
}
