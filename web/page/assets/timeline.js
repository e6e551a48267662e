// The history of a run, from its lifecycle events: when each attempt waited, ran or was paused, and its outcome.

/** Most attempts that are kept; the oldest are dropped. */
const MAX_ATTEMPTS = 50;
/** Most marks (signals, parameters, children) of an attempt. */
const MAX_MARKS = 100;

const ENDS = { "run.completed": "completed", "run.failed": "failed", "run.cancelled": "cancelled" };
const MARKS = {
  "run.signal": (data) => `signal ${data?.name}`,
  "run.parameter": (data) => `parameter ${data?.name}`,
  "run.child": (data) => `child ${data?.task}`,
};

/**
 * @typedef {{ number: number, from: number, to: number | null, version: string | null, outcome: string | null, error: any,
 *   spans: { kind: string, from: number, to: number | null }[], marks: { at: number, text: string }[], state?: string,
 *   isPartial?: boolean }} Attempt
 *   times in milliseconds; the `outcome` of an attempt that was followed by another is `retried`
 */
export class Timeline {
  /** @param {number} createdMs when the run was created; its first wait begins then */
  constructor(createdMs) {
    this.createdMs = createdMs;
    /** @type {Attempt[]} */
    this.attempts = [];
    this.#begin(1, createdMs, "queued");
    /** Whether the run is executing: started, not paused, not ended. */
    this.isActive = false;
    this.ended = false;
  }

  get #last() {
    return this.attempts.at(-1);
  }

  #begin(number, at, kind) {
    this.attempts.push({ number, from: at, to: null, version: null, outcome: null, error: null, spans: [{ kind, from: at, to: null }], marks: [] });
    if (this.attempts.length > MAX_ATTEMPTS) this.attempts.shift();
  }

  #span(kind, at) {
    const span = this.#last.spans.at(-1);
    if (span.kind === kind) return;
    span.to = at;
    this.#last.spans.push({ kind, from: at, to: null });
  }

  #end(at, outcome, error) {
    const attempt = this.#last;
    attempt.spans.at(-1).to = at;
    Object.assign(attempt, { to: at, outcome, error: error ?? null });
  }

  /**
   * The attempts, updated with the run's current state, which may be ahead of the events received so far. An attempt known
   * only from that state has `state`, and no times if `isPartial`.
   * @param {{ status: string, attempt: number, version: string | null }} run
   */
  attemptsOf(run) {
    const last = this.#last;
    if (this.ended) return this.attempts;
    const before = this.attempts.slice(0, -1);
    if (run.attempt <= last.number) return [...before, { ...last, state: run.status, isPartial: last.spans.at(-1).kind !== run.status }];
    const next = { ...last, number: run.attempt, version: run.version, spans: [], marks: [] };
    return [...before, { ...last, state: "retried", isPartial: true }, { ...next, state: run.status, isPartial: true }];
  }

  /** Applies a lifecycle event. Returns whether it changed the timeline. */
  update({ type, data, timestamp }) {
    const at = Date.parse(timestamp);
    const last = this.#last;
    if (this.ended || Number.isNaN(at)) return false;
    if (type in ENDS) {
      this.#end(at, ENDS[type], data?.error);
      this.ended = true;
    } else if (type === "run.started") {
      last.number = data?.attempt ?? last.number;
      last.version = data?.version ?? null;
      this.#span("running", at);
    } else if (type === "run.retrying") {
      this.#end(at, "retried", data?.error);
      this.#begin(data?.attempt ?? last.number + 1, at, data?.not_before ? "delayed" : "queued");
    } else if (type === "run.paused") {
      this.before = last.spans.at(-1).kind;
      this.#span("paused", at);
    } else if (type === "run.resumed") this.#span(this.before ?? "running", at);
    else if (type === "run.queued") this.#span("queued", at);
    else if (type === "run.delayed") this.#span("delayed", at);
    else if (type in MARKS) {
      if (last.marks.length < MAX_MARKS) last.marks.push({ at, text: MARKS[type](data) });
    } else return false;
    this.isActive = !this.ended && this.#last.spans.at(-1).kind === "running";
    return true;
  }
}
