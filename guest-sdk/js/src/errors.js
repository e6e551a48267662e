// The errors of the SDK, and their conversion to the failure of a run.

import { toJson } from './json.js';
import { place, readable } from './places.js';
import { wellFormed } from './text.js';

/**
 * The failure of a task. Throwing it ends the attempt; it is stored with the run.
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

/** Cancellation of the run was requested. All functions that wait throw it. */
export class Cancelled extends Error {
  constructor() {
    super('the run was cancelled');
    this.name = 'Cancelled';
    this.code = 'cancelled';
  }
}

/** The host rejected a call. */
export class HostError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'HostError';
    this.code = code;
  }
}

/**
 * Converts any thrown value to a failure of the contract.
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

/** Whether the task threw it on purpose. Anything else is a bug, whose stack is worth logging. */
export function isExpected(thrown) {
  return thrown instanceof Failure || thrown instanceof Cancelled;
}

/** The message of a thrown value; for a bug, with the place: `TypeError: x is undefined, in deep at task.ts:12`. */
function reasonOf(thrown) {
  const message = messageOf(thrown);
  if (isExpected(thrown) || !(thrown instanceof Error)) return message;
  const where = place(thrown.stack);
  return where === undefined ? message : `${message}, ${where}`;
}

/** The message with the stack, and those of the causes; undefined if there is no stack. */
export function stackOf(thrown) {
  if (!(thrown instanceof Error) || !thrown.stack) return undefined;
  const parts = chain(thrown).filter((one) => one instanceof Error).map((one, nth) => {
    const stack = readable(one.stack).trimEnd();
    // In some engines, the stack begins with the message.
    const text = stack.includes(one.message) ? stack : `${one.name}: ${one.message}\n${stack}`;
    return (nth === 0 ? text : `caused by ${text}`).trimEnd();
  });
  return parts.join('\n');
}

/** The longest time that the contract can express, in milliseconds: 49 days. */
export const LONGEST_MS = 0xffff_ffff;

/** A time to wait. A value that is not a number is 0, as with `setTimeout`. */
export function duration(time) {
  const ms = Number(time);
  return ms > 0 ? ms : 0;
}

/** A time as an integer, rounded up, for the contract. */
export function milliseconds(time) {
  return Math.min(Math.ceil(duration(time)), LONGEST_MS);
}

// The messages of an error and its causes, joined by colons, without repetitions.
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

// A thrown value and its chain of causes.
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

// Creating a failure must not fail: details that can't be encoded are replaced by the reason.
function detailsOf(details) {
  try {
    return toJson('the details', details);
  } catch (error) {
    return toJson('the reason', String(error));
  }
}
