// What can go wrong, as a task sees it.

import { toJson } from './json.js';
import { place, readable } from './places.js';
import { wellFormed } from './text.js';

/**
 * Why a task did not succeed: thrown, it ends the attempt and is kept with the run.
 */
export class Failure extends Error {
  constructor(message, { code, details, retryable = false, retryAfter, cause } = {}) {
    super(String(message), cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.code = code;
    this.details = details;
    this.retryable = retryable || retryAfter !== undefined;
    this.retryAfter = retryAfter;
  }
}

/** Someone asked to cancel the run. Thrown by everything that waits. */
export class Cancelled extends Error {
  constructor() {
    super('the run was cancelled');
    this.name = 'Cancelled';
    this.code = 'cancelled';
  }
}

/** A call to the host was refused. A task can look at the `code` and go on. */
export class HostError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'HostError';
    this.code = code;
  }
}

/**
 * Whatever was thrown, as a failure of the contract.
 */
export function toFailure(thrown) {
  const failure = { message: wellFormed(reasonOf(thrown)), code: undefined, details: undefined, retryable: false };
  if (thrown instanceof Failure) {
    failure.code = thrown.code === undefined ? undefined : wellFormed(String(thrown.code));
    failure.details = thrown.details === undefined ? undefined : detailsOf(thrown.details);
    failure.retryable = thrown.retryable;
    failure.retryAfterMs = thrown.retryAfter === undefined ? undefined : milliseconds(thrown.retryAfter);
  } else if (thrown instanceof Cancelled || thrown instanceof HostError) {
    failure.code = thrown.code;
    failure.retryable = thrown.code === 'unavailable';
  }
  return failure;
}

/** Whether the task's own code meant it. Anything else is a bug, and its stack is worth keeping. */
export function isExpected(thrown) {
  return thrown instanceof Failure || thrown instanceof Cancelled;
}

/** What was thrown, and of a bug also where: `TypeError: x is undefined, in deep at task.ts:12`. */
function reasonOf(thrown) {
  const message = messageOf(thrown);
  if (isExpected(thrown) || !(thrown instanceof Error)) return message;
  const where = place(thrown.stack);
  return where === undefined ? message : `${message}, ${where}`;
}

/** The same with the stack, and those of the causes; undefined if there is none. */
export function stackOf(thrown) {
  if (!(thrown instanceof Error) || !thrown.stack) return undefined;
  const parts = chain(thrown).filter((one) => one instanceof Error).map((one, nth) => {
    const stack = readable(one.stack).trimEnd();
    // Some engines' stacks begin with the message, others' have none.
    const text = stack.includes(one.message) ? stack : `${one.name}: ${one.message}\n${stack}`;
    return (nth === 0 ? text : `caused by ${text}`).trimEnd();
  });
  return parts.join('\n');
}

/** The longest time that the contract can say, in milliseconds: 49 days. */
export const LONGEST_MS = 0xffff_ffff;

/** A time to wait. What is no number waits not at all, as with `setTimeout`. */
export function duration(time) {
  const ms = Number(time);
  return ms > 0 ? ms : 0;
}

/** A time as the contract takes it: whole, and never shorter than it was. */
export function milliseconds(time) {
  return Math.min(Math.ceil(duration(time)), LONGEST_MS);
}

// The message of an error and of what caused it, joined by colons, each said once.
function messageOf(thrown) {
  if (!(thrown instanceof Error)) return textOf(thrown);
  const isNamed = !isExpected(thrown) && !(thrown instanceof HostError) && thrown.name !== 'Error';
  let message = isNamed && thrown.message ? `${thrown.name}: ${thrown.message}` : thrown.message || thrown.name;
  for (const cause of chain(thrown).slice(1)) {
    const text = cause instanceof Error ? cause.message : textOf(cause);
    if (!message.endsWith(text)) message += `: ${text}`;
  }
  return message;
}

// What was thrown, what caused it, what caused that.
function chain(thrown) {
  const all = new Set();
  for (let one = thrown; one !== undefined && !all.has(one); one = one instanceof Error ? one.cause : undefined) {
    all.add(one);
  }
  return [...all];
}

function textOf(value) {
  try {
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  } catch {
    return 'something was thrown that has no text';
  }
}

// A failure must not fail: what has no form in JSON is replaced by the reason.
function detailsOf(details) {
  try {
    return toJson('the details', details);
  } catch (error) {
    return toJson('the reason', String(error));
  }
}
