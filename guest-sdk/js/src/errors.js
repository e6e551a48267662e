// What can go wrong, as a task sees it.

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
  const failure = { message: messageOf(thrown), code: undefined, details: undefined, retryable: false };
  if (thrown instanceof Failure) {
    failure.code = thrown.code === undefined ? undefined : String(thrown.code);
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
  return thrown instanceof Failure || thrown instanceof Cancelled || thrown instanceof HostError;
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
  let message = thrown.message || thrown.name;
  const seen = new Set([thrown]);
  let { cause } = thrown;
  while (cause !== undefined && !seen.has(cause)) {
    seen.add(cause);
    const text = cause instanceof Error ? cause.message : textOf(cause);
    if (!message.endsWith(text)) message += `: ${text}`;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return message;
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
    return JSON.stringify(details) ?? 'null';
  } catch (error) {
    return JSON.stringify(String(error));
  }
}
