// The errors of the client.

/** @import { RunInfo } from '../streamtask.d.ts' */

/** Statuses after which a retry could succeed. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The host rejected a request. */
export class HostError extends Error {
  name = 'HostError';

  /** @param {number} status @param {Record<string, any>} problem @param {number} [retryAfterMs] */
  constructor(status, problem, retryAfterMs) {
    super(problem.detail ?? problem.title ?? `the host answered with status ${status}`);
    this.status = status;
    this.kind = String(problem.type ?? '').replace('urn:streamtask:problem:', '');
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }

  /** @param {Response} response */
  static async of(response) {
    // A proxy's response can be anything.
    const problem = await response.json().catch(() => ({}));
    const after = response.headers.get('retry-after');
    const seconds = after === null ? NaN : Number(after);
    const wait = Number.isNaN(seconds) ? Date.parse(after ?? '') - Date.now() : seconds * 1000;
    return new HostError(response.status, problem ?? {}, wait > 0 ? wait : undefined);
  }
}

/** A run did not complete. */
export class RunError extends Error {
  name = 'RunError';

  /** @param {RunInfo} run */
  constructor(run) {
    super(run.error?.message ?? `the run was ${run.status}`);
    this.run = run;
    this.status = run.status;
    this.kind = run.error?.kind;
    this.code = run.error?.code;
  }
}

/** Whether a retry could succeed. @param {unknown} error */
export function mayPass(error) {
  return !(error instanceof HostError) || PASSING.has(error.status);
}

/** @param {unknown} error */
export function retryAfter(error) {
  return error instanceof HostError ? error.retryAfterMs : undefined;
}
