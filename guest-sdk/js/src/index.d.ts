// Write streamtask tasks in JavaScript and TypeScript. All times are in milliseconds.

/** Any JSON Schema. Those parts that `FromSchema` knows become types. */
export interface JsonSchema {
  readonly type?: JsonType | readonly JsonType[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly (JsonSchema | boolean)[];
  readonly oneOf?: readonly (JsonSchema | boolean)[];
  readonly properties?: { readonly [name: string]: JsonSchema | boolean };
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly default?: unknown;
  readonly [keyword: string]: unknown;
}

export type JsonType = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object';

/** The type of what fits a schema, with its defaults filled in. */
export type FromSchema<S> =
  S extends { readonly const: infer C } ? C
  : S extends { readonly enum: readonly (infer E)[] } ? E
  : S extends { readonly anyOf: readonly (infer A)[] } ? FromSchema<A>
  : S extends { readonly oneOf: readonly (infer A)[] } ? FromSchema<A>
  : S extends { readonly type: readonly (infer T)[] } ? FromType<T, S>
  : S extends { readonly type: infer T } ? FromType<T, S>
  : unknown;

type FromType<T, S> =
  T extends 'null' ? null
  : T extends 'boolean' ? boolean
  : T extends 'integer' | 'number' ? number
  : T extends 'string' ? string
  : T extends 'array' ? (S extends { readonly items: infer I } ? FromSchema<I>[] : unknown[])
  : T extends 'object' ? FromObject<S>
  : unknown;

type FromObject<S> =
  S extends { readonly properties: infer P }
    ? Flat<
        { [K in keyof P as K extends Present<S, P> ? K : never]: FromSchema<P[K]> } &
        { [K in keyof P as K extends Present<S, P> ? never : K]?: FromSchema<P[K]> }
      >
    : S extends { readonly additionalProperties: infer A extends JsonSchema }
      ? { [key: string]: FromSchema<A> }
      : { [key: string]: unknown };

// What is required, and what has a default.
type Present<S, P> =
  | (S extends { readonly required: readonly (infer R)[] } ? R : never)
  | { [K in keyof P]: P[K] extends { readonly default: unknown } ? K : never }[keyof P];

type Flat<T> = { [K in keyof T]: T[K] };

/** What `task` makes: the exports of the contract. */
export interface Task {
  describe(): string;
  process(input: string): Promise<string>;
}

/** What a task's function may return: a value, a promise, or a generator. */
export type Result<O> = Work<O> | PromiseLike<Work<O>>;

type Work<O> = O | Iterator<unknown, O | void, undefined> | AsyncIterator<unknown, O | void, undefined>;

/**
 * Makes a function the task of this module.
 *
 * With a schema for the input, the host checks an input before it starts a run, and draws a form
 * for it; the function gets it typed, and with the schema's defaults.
 *
 * If the function is a generator, each value that it yields is sent as a `progress` event, and
 * what it returns is the result, or without that the last value.
 */
export function task<const I extends JsonSchema, const O extends JsonSchema | true = true>(
  about: { description?: string; input: I; output?: O },
  work: (ctx: Context, input: FromSchema<I>) => Result<FromSchema<O>>,
): Task;
/** Without a schema for the input; its type is what you say. */
export function task<Input = any, Output = unknown>(
  about: { description?: string; input?: undefined; output?: JsonSchema },
  work: (ctx: Context, input: Input) => Result<Output>,
): Task;
/** Without a description. */
export function task<Input = any, Output = unknown>(work: (ctx: Context, input: Input) => Result<Output>): Task;

/**
 * The value, with the schema's defaults, as the type that the schema says. Throws a `Failure` with
 * the code `invalid-input` if it does not fit. A task's input has been through this already.
 */
export function parse<const S extends JsonSchema>(schema: S, value: unknown): FromSchema<S>;

/** The run, as its task sees it. Calls that the host refuses throw a `HostError`. */
export interface Context {
  /** Sends one event. Waits only if the task is faster than the disk. */
  send(type: string, data?: unknown, options?: { channel?: string }): void;
  /** Sends bytes as one event. `contentType` is a media type such as `image/png`. */
  sendBytes(
    type: string,
    contentType: string,
    bytes: Uint8Array | ArrayBuffer | ArrayBufferView | string,
    options?: { channel?: string },
  ): void;
  /** Returns once every event sent so far is durable. */
  flush(): void;
  /** Says how far the run is. */
  progress(progress: Progress): void;
  /** Sends a line for the log. */
  log(message: unknown, level?: Level): void;
  /**
   * Sends each value as a `progress` event; returns what the generator returns, or without that
   * the last value. Asks before each whether the run is cancelled.
   */
  stream<Y, R>(values: Iterator<Y, R> | AsyncIterator<Y, R> | Iterable<Y> | AsyncIterable<Y>): Promise<R | Y | undefined>;
  /** Updates of a page. */
  readonly view: View;

  /** Waits. Rejects with `Cancelled` at once when the run is or gets cancelled. */
  sleep(ms: number): Promise<void>;
  /** The same for code that can't `await`. Nothing else goes on meanwhile. */
  sleepSync(ms: number): void;
  /** Aborted, with a `Cancelled`, as soon as the task hears that the run is cancelled. */
  readonly signal: AbortSignal;
  /** Whether someone asked to cancel the run. */
  readonly cancelled: boolean;
  /** For tasks that compute and do not wait. */
  checkCancelled(): void;
  /** The time left until the host ends this attempt; undefined if it has no deadline. */
  readonly remaining: number | undefined;
  /** The facts of this attempt. */
  readonly info: RunInfo;

  /**
   * The oldest signal that waits; with a name, the oldest of that name. Waits for one, at most
   * `timeout`; then undefined. Rejects with `Cancelled` when the run is or gets cancelled.
   */
  receiveSignal(name?: string, options?: { timeout?: number }): Promise<Signal | undefined>;
  /** The present value of a parameter; undefined if it was never set. */
  parameter<T = any>(name: string): T | undefined;
  /** State that survives the attempt. */
  readonly checkpoint: Checkpoint;

  /** Starts a run of a task: `app/task`, or the name alone for one of the same app. */
  startChild(task: string, input?: unknown, options?: ChildOptions): Child;
  /** How a child ended. Rejects with `Cancelled` when this run is or gets cancelled. */
  waitFor(child: Child): Promise<Outcome>;
  /** The same, for at most `timeout`; undefined if the time is over. */
  waitFor(child: Child, options: { timeout?: number }): Promise<Outcome | undefined>;
  /** The first of the children to end, and its place in the list. */
  waitForAny(children: readonly Child[]): Promise<Ended>;
  waitForAny(children: readonly Child[], options: { timeout?: number }): Promise<Ended | undefined>;
}

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** How far a run is, or an item of it. An event says something new; what it leaves out stays. */
export interface Progress {
  /** Work in a row: this step, from 1, is done. */
  step?: number;
  /** Work of several parts: the item that this is about. */
  id?: string;
  /** The item that this one is a part of. */
  parent?: string;
  /** How much it counts among its siblings; 1 unless said otherwise. */
  weight?: number;
  status?: 'waiting' | 'running' | 'completed' | 'failed' | 'skipped';
  done?: number;
  total?: number;
  /** From 0 to 100, for work that can't be counted. */
  percent?: number;
  /** One line for people. */
  message?: string;
}

/** Updates of a page. `target` names an element with `data-stream="NAME"`. */
export interface View {
  /** Plain text, never read as HTML; appended unless said otherwise. */
  text(target: string, text: string, options?: { mode?: 'append' | 'prepend' | 'replace' }): void;
  /** Replaces what is in the target. */
  html(target: string, html: string): void;
  /** Adds at the end, or at the beginning. */
  insert(target: string, html: string, options?: { at?: 'append' | 'prepend' }): void;
  /** Removes what matches within the target. */
  remove(target: string, selector: string): void;
  /** Removes children at that edge until `limit` are left. */
  prune(target: string, limit: number, options?: { edge?: 'top' | 'bottom' }): void;
  /** The target is being written. */
  start(target: string): void;
  /** It is complete. */
  done(target: string): void;
  /** It failed; what is there stays. */
  error(target: string, message: string): void;
  /** Any JSON value, for the page's own code. */
  state(state: unknown): void;
}

export interface RunInfo {
  id: string;
  app: string;
  task: string;
  /** The SHA-256 of the file that this attempt runs on, in hexadecimal. */
  version: string;
  /** 1 for the first attempt. */
  attempt: number;
  labels: Record<string, string>;
}

export interface Signal {
  name: string;
  /** A JSON value. */
  payload: any;
}

/** What is saved is durable when the call returns, with every event sent before it. */
export interface Checkpoint {
  /** Saves a JSON value. A key has 1 to 128 bytes without control characters. */
  save(key: string, value: unknown): void;
  /** What was saved last, in this attempt or an earlier one; undefined if nothing. */
  load<T = any>(key: string): T | undefined;
  saveBytes(key: string, bytes: Uint8Array): void;
  loadBytes(key: string): Uint8Array | undefined;
  remove(key: string): void;
}

export interface ChildOptions {
  /** Starting with the same key again, also in a later attempt, gives the same child. */
  key?: string;
  /** It goes on when this run has ended; otherwise it is cancelled then. */
  detached?: boolean;
  /** Higher goes first in the queue, from -100 to 100. */
  priority?: number;
}

export interface Child {
  readonly id: string;
  /** How it ended. */
  outcome(): Promise<Outcome>;
  outcome(options: { timeout?: number }): Promise<Outcome | undefined>;
  /** What it returned; any other end is a failure of this run. */
  result<T = any>(): Promise<T>;
  /** Asks it to end. */
  cancel(): void;
}

export interface Ended {
  /** Its place in the list. */
  index: number;
  child: Child;
  outcome: Outcome;
}

export type Outcome =
  | { status: 'completed'; value: any }
  | { status: 'failed'; error: { kind: string; message: string; code?: string | undefined; details?: any } }
  /** What it returned in its grace time, if anything. */
  | { status: 'cancelled'; value?: any };

/** Why a task did not succeed: thrown, it ends the attempt and is kept with the run. */
export class Failure extends Error {
  constructor(message: string, options?: {
    /** A short word for programs, such as `rate-limited`. */
    code?: string | undefined;
    /** Whatever else is worth keeping, as JSON. */
    details?: unknown;
    /** Whether another attempt could succeed. */
    retryable?: boolean | undefined;
    /** It could, but not before this time has passed. */
    retryAfter?: number | undefined;
    cause?: unknown;
  });
  readonly code: string | undefined;
  readonly details: unknown;
  readonly retryable: boolean;
  readonly retryAfter: number | undefined;
}

/** Someone asked to cancel the run. A task that has to clean up catches it, and throws it on. */
export class Cancelled extends Error {
  constructor();
  readonly code: 'cancelled';
}

/** A call to the host was refused. */
export class HostError extends Error {
  constructor(code: HostErrorCode, message: string);
  readonly code: HostErrorCode;
}

export type HostErrorCode =
  | 'invalid-argument'
  | 'too-large'
  | 'limit-exceeded'
  | 'denied'
  | 'not-found'
  | 'conflict'
  | 'unavailable'
  | 'internal';
