// The streamtask SDK for JavaScript and TypeScript. All times are in milliseconds.

/** Any JSON Schema. `FromSchema` converts the parts that it supports to types. */
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

/** The type of values that match a schema, with its defaults filled in. */
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

// Properties that are required or have a default.
type Present<S, P> =
  | (S extends { readonly required: readonly (infer R)[] } ? R : never)
  | { [K in keyof P]: P[K] extends { readonly default: unknown } ? K : never }[keyof P];

type Flat<T> = { [K in keyof T]: T[K] };

/** The result of `task`: the exports of the contract. */
export interface Task {
  describe(): string;
  process(input: string): Promise<string>;
}

/** The return value of a task's function: a value, a promise, or a generator. */
export type Result<O> = Work<O> | PromiseLike<Work<O>>;

type Work<O> = O | Iterator<unknown, O | void, undefined> | AsyncIterator<unknown, O | void, undefined>;

/**
 * Makes a function the task of this module.
 *
 * With an input schema, the host checks each input before it starts a run, and shows a form for
 * it; the function receives a typed input with the schema's defaults.
 *
 * If the function is a generator, each value that it yields is sent as a `progress` event. Its
 * return value is the result, or else its last value.
 */
export function task<const I extends JsonSchema, const O extends JsonSchema | true = true>(
  about: { description?: string; input: I; output?: O },
  work: (ctx: Context, input: FromSchema<I>) => Result<FromSchema<O>>,
): Task;
/** Without an input schema; you choose the type of the input. */
export function task<Input = any, Output = unknown>(
  about: { description?: string; input?: undefined; output?: JsonSchema },
  work: (ctx: Context, input: Input) => Result<Output>,
): Task;
/** Without a description. */
export function task<Input = any, Output = unknown>(work: (ctx: Context, input: Input) => Result<Output>): Task;

/**
 * Checks a value against a schema. Returns it typed and with the schema's defaults. Throws a
 * `Failure` with the code `invalid-input` if it does not match. A task's input is already parsed.
 */
export function parse<const S extends JsonSchema>(schema: S, value: unknown): FromSchema<S>;

/** The current run. Calls that the host rejects throw a `HostError`. */
export interface Context {
  /** Sends one event. Waits only if the task sends faster than the disk can write. */
  send(type: string, data?: unknown, options?: { channel?: string }): void;
  /** Sends bytes as one event. `contentType` is a media type such as `image/png`. */
  sendBytes(
    type: string,
    contentType: string,
    bytes: Uint8Array | ArrayBuffer | ArrayBufferView | string,
    options?: { channel?: string },
  ): void;
  /** Waits until all events sent so far are durable. */
  flush(): void;
  /** Reports progress. */
  progress(progress: Progress): void;
  /** Logs a message. */
  log(message: unknown, level?: Level): void;
  /**
   * Sends each value as a `progress` event. Returns the generator's return value, or else its last
   * value. Checks before each value whether the run is cancelled.
   */
  stream<Y, R>(values: Iterator<Y, R> | AsyncIterator<Y, R> | Iterable<Y> | AsyncIterable<Y>): Promise<R | Y | undefined>;
  /** Sends updates of a web page. */
  readonly view: View;

  /** Sleeps. Rejects with `Cancelled` as soon as cancellation of the run is requested. */
  sleep(ms: number): Promise<void>;
  /** `sleep` for code that can't `await`. Blocks everything else. */
  sleepSync(ms: number): void;
  /** Aborted with a `Cancelled` as soon as the SDK detects that the run is cancelled. */
  readonly signal: AbortSignal;
  /** Whether cancellation of the run was requested. */
  readonly cancelled: boolean;
  /** Throws `Cancelled` if the run is cancelled: for tasks that compute without waiting. */
  checkCancelled(): void;
  /** The time left until this attempt's deadline; undefined if it has none. */
  readonly remaining: number | undefined;
  /** Information about the current attempt. */
  readonly info: RunInfo;

  /**
   * Removes and returns the oldest queued signal; with a name, the oldest of that name. If there is
   * none, waits for at most `timeout`, then returns undefined. Rejects with `Cancelled` if the run is
   * cancelled.
   */
  receiveSignal(name?: string, options?: { timeout?: number }): Promise<Signal | undefined>;
  /** The current value of a parameter; undefined if it was never set. */
  parameter<T = any>(name: string): T | undefined;
  /** State that outlives the attempt. */
  readonly checkpoint: Checkpoint;

  /** Starts a run of a task: `app/task`, or just the name for a task of the same app. */
  startChild(task: string, input?: unknown, options?: ChildOptions): Child;
  /** Waits for a child. Returns its outcome. Rejects with `Cancelled` if this run is cancelled. */
  waitFor(child: Child): Promise<Outcome>;
  /** Waits for at most `timeout`, then returns undefined. */
  waitFor(child: Child, options: { timeout?: number }): Promise<Outcome | undefined>;
  /** Waits for the first of the children to end. */
  waitForAny(children: readonly Child[]): Promise<Ended>;
  waitForAny(children: readonly Child[], options: { timeout?: number }): Promise<Ended | undefined>;
}

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** The progress of a run or of an item in it. Omitted values do not change. */
export interface Progress {
  /** For sequential work: the step that is done, from 1. */
  step?: number;
  /** For work in several parts: the ID of the item. */
  id?: string;
  /** The item that this one is a part of. */
  parent?: string;
  /** Its weight among its siblings. Default: 1. */
  weight?: number;
  status?: 'waiting' | 'running' | 'completed' | 'failed' | 'skipped';
  done?: number;
  total?: number;
  /** From 0 to 100, for work that can't be counted. */
  percent?: number;
  /** One line for people. */
  message?: string;
}

/** Updates of a web page. `target` names an element with `data-stream="NAME"`. */
export interface View {
  /** Adds plain text, by default at the end. */
  text(target: string, text: string, options?: { mode?: 'append' | 'prepend' | 'replace' }): void;
  /** Replaces the target's content. Escape all data in the HTML. */
  html(target: string, html: string): void;
  /** Adds HTML at the end or at the beginning. */
  insert(target: string, html: string, options?: { at?: 'append' | 'prepend' }): void;
  /** Removes the elements in the target that match the selector. */
  remove(target: string, selector: string): void;
  /** Removes child elements at an edge until `limit` are left. */
  prune(target: string, limit: number, options?: { edge?: 'top' | 'bottom' }): void;
  /** Marks the target as being written. */
  start(target: string): void;
  /** Marks the target as complete. */
  done(target: string): void;
  /** Marks the target as failed; its content stays. */
  error(target: string, message: string): void;
  /** Sends any JSON value to the page's own code. */
  state(state: unknown): void;
}

export interface RunInfo {
  id: string;
  app: string;
  task: string;
  /** The task's version: the SHA-256 of its file, in hexadecimal. */
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

/** When a call returns, the saved value and all events sent before it are durable. */
export interface Checkpoint {
  /** Saves a JSON value. A key has 1 to 128 bytes without control characters. */
  save(key: string, value: unknown): void;
  /** The last saved value, of this attempt or an earlier one; undefined if there is none. */
  load<T = any>(key: string): T | undefined;
  saveBytes(key: string, bytes: Uint8Array): void;
  loadBytes(key: string): Uint8Array | undefined;
  remove(key: string): void;
}

export interface ChildOptions {
  /** Another start with the same key, also in a later attempt, returns the same child. */
  key?: string;
  /** Whether the child continues after this run has ended. Otherwise, it is cancelled then. */
  detached?: boolean;
  /** From -100 to 100; higher priorities start first. */
  priority?: number;
}

export interface Child {
  readonly id: string;
  /** Waits for the outcome. */
  outcome(): Promise<Outcome>;
  outcome(options: { timeout?: number }): Promise<Outcome | undefined>;
  /** Waits for the result. If the child did not complete, throws a `Failure`. */
  result<T = any>(): Promise<T>;
  /** Requests cancellation of the child. */
  cancel(): void;
}

export interface Ended {
  /** The index in the list. */
  index: number;
  child: Child;
  outcome: Outcome;
}

export type Outcome =
  | { status: 'completed'; value: any }
  | { status: 'failed'; error: { kind: string; message: string; code?: string | undefined; details?: any } }
  /** `value`: the result that it returned in its grace period, if any. */
  | { status: 'cancelled'; value?: any };

/** The failure of a task. Throwing it ends the attempt; it is stored with the run. */
export class Failure extends Error {
  constructor(message: string, options?: {
    /** A short machine-readable code, such as `rate-limited`. */
    code?: string | undefined;
    /** Further information, stored as JSON. */
    details?: unknown;
    /** Whether another attempt could succeed. */
    retryable?: boolean | undefined;
    /** The minimum delay before the next attempt; implies `retryable`. */
    retryAfter?: number | undefined;
    cause?: unknown;
  });
  readonly code: string | undefined;
  readonly details: unknown;
  readonly retryable: boolean;
  readonly retryAfter: number | undefined;
}

/** Cancellation of the run was requested. A task that has to clean up catches it, and rethrows it. */
export class Cancelled extends Error {
  constructor();
  readonly code: 'cancelled';
}

/** The host rejected a call. */
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
