/** A client of streamtask hosts: starts, follows and controls runs, and shows them on a web page. */

// ---- events

/** An event of a run's log. */
export interface StreamEvent<T = any> {
  /** For example `progress`. Types that begin with `run.` are the host's. */
  type: string;
  /** Any JSON value; for bytes, a Base64 string, with `content_type`. */
  data: T;
  /** The sequence number: from 1, without gaps. */
  seq: number;
  /** If this is several events, coalesced: the number of the first one. */
  first_seq?: number;
  attempt: number;
  /** RFC 3339. */
  timestamp: string;
  channel?: string;
  content_type?: string;
  /** The run's ID, app and task. */
  _task_id: string;
  _app: string;
  _model: string;
}

/** A message on the stream that is not in the log: events are missing here. It has no number. */
export interface Notice {
  type: 'gap';
  data: {
    /** `pruned`: retention deleted the events. `removed`: the whole run was deleted. `unknown-position`: the
     * log never had the requested position, and the stream starts at the log's beginning. `missing`: the host
     * did not send them. */
    reason: 'pruned' | 'removed' | 'unknown-position' | 'missing';
    from?: number;
    to?: number;
    requested?: string;
  };
  seq?: undefined;
}

export type RunStatus = 'queued' | 'delayed' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled';

/** A run, as returned by `GET /api/runs/{run}`. */
export interface RunInfo {
  id: string;
  app: string;
  task: string;
  version: string | null;
  status: RunStatus;
  attempt: number;
  input: any;
  /** The result, if there is one. */
  final_value: any;
  error: { kind: string; message: string; code?: string; [more: string]: any } | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  cancel_requested_at: string | null;
  not_before: string | null;
  priority: number;
  waits_for: string | null;
  on_disconnect: 'continue' | 'cancel';
  parent: string | null;
  labels: Record<string, string>;
  /** The path of its stream. */
  stream: string;
}

// ---- following

/** A run, its ID, or the URL of its stream: complete, or a path such as `/stream/demo/counter/first`. */
export type Target = Run | { stream: string } | string | URL;

/** The state of the connection. */
export interface State {
  /** `waiting`: the connection was lost, and is retried after `retryInMs`. `polling`: streaming is blocked, so
   * the client polls for new events. */
  state: 'connecting' | 'open' | 'waiting' | 'polling' | 'ended';
  /** The last event delivered. */
  after?: number;
  /** The error that led to waiting. */
  error?: unknown;
  retryInMs?: number;
}

export interface FollowOptions {
  /** A `Host`, or its URL. Default: the host of `target`, or `new Host()`. */
  host?: Host | string | URL;
  /** Start after the event with this number. Default: 0, the beginning. */
  after?: number;
  /** Start with this number of newest events. Ignored with `after`. */
  tail?: number;
  /** `now`: start with new events only. `latest`: start with the newest event. If a connection is lost before the first
   * event, both refer to the time at which the next one opens. Ignored with `after`. */
  from?: 'start' | 'now' | 'latest';
  /** Only events of these types, and the last event. */
  types?: string[];
  /** Only events on these channels, and the last event. The default channel has an empty name. */
  channels?: string[];
  /** The host sends at most once in this time, and coalesces successive `view` events into one, with the number of the last
   * as `seq` and that of the first as `first_seq`. Default: each event by itself, at once. */
  intervalMs?: number;
  /** Stops following: the iterator throws the signal's reason. */
  signal?: AbortSignal;
  /** Called with each state of the connection. */
  onState?: (state: State) => void;
  /** Throw after this time without any data. Default: retry forever. */
  giveUpMs?: number;
  /** The interval of the host's heartbeats; after 2.5 times as long without data, the connection counts as dead. 0: no heartbeats. Default: 15. */
  heartbeatSeconds?: number;
  /** The timeout for a stream's first byte; after two streams without one, the client polls. Default: 10,000. */
  openMs?: number;
  /** The pause between two polls. Default: 2,000. */
  pollMs?: number;
  /** The first pause after a lost connection; each further one is twice as long, up to 30 s. Default: as the host requests. */
  retryMs?: number;
}

/**
 * The events of a run, live, until its end: each once and in order, across lost connections, restarts of the host and sleep
 * of the computer. Throws a `HostError` if the host rejects the request permanently.
 */
export function follow(target: Target, options?: FollowOptions): AsyncGenerator<StreamEvent | Notice, void, undefined>;
/** `follow` in batches of events, for consumers that handle many at once more efficiently. */
export function followBatches(target: Target, options?: FollowOptions): AsyncGenerator<(StreamEvent | Notice)[], void, undefined>;
/**
 * Retries lost connections at once, and starts without a response: for a page that knows from another source that its host
 * is back. Pauses that the host requested (`Retry-After`) are not shortened.
 */
export function retryNow(): void;
/** Whether this is the run's last event: `run.completed`, `run.failed` or `run.cancelled`. */
export function isEnd(event: StreamEvent | Notice): boolean;

// ---- the host's API

/** Query parameters; a list repeats the parameter, `undefined` omits it. */
export type Query = Record<string, string | number | boolean | undefined | (string | number)[]>;

export interface HostOptions {
  /** Sent with every request, to this host only. A function is called for each request. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  credentials?: RequestCredentials;
  /** Replaces the platform's `fetch`. */
  fetch?: typeof globalThis.fetch;
}

export interface RequestOptions {
  query?: Query;
  /** Sent as JSON; a `Blob`, an `ArrayBuffer` or a view of one unchanged. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface StartOptions {
  /** The run's ID. Default: the host generates one. */
  id?: string;
  labels?: Record<string, string>;
  /** Starts with the same key start one run only. Default: a random key, so that a request without a response can be repeated. */
  idempotencyKey?: string;
  /** The earliest start. */
  notBefore?: Date | string;
  /** Start after this time, such as `10m`. */
  delay?: string;
  /** From -100 to 100; higher priorities start first. */
  priority?: number;
  /** Exclusive resources to lock. */
  resources?: string[];
  /** What to do if one of these is in use. */
  ifBusy?: 'wait' | 'fail';
  /** `cancel`: the run is cancelled some seconds after its last subscriber has disconnected. Default: `continue`. */
  onDisconnect?: 'continue' | 'cancel';
  signal?: AbortSignal;
}

/** Filters of a list of runs; `cursor` is the `next` of the previous page. */
export interface RunFilter {
  task?: string;
  status?: RunStatus;
  /** One label. */
  labels?: Record<string, string>;
  parent?: string;
  limit?: number;
  cursor?: string;
}

/** A host. Every method throws a `HostError` if the host rejects the request. */
export class Host {
  /** The default is the host that served `/streamtask.js`, or else the server of the page. */
  constructor(url?: string | URL, options?: HostOptions);
  readonly url: URL;
  /** Starts a run of the task `app/name`. Repeats the request if it gets no response, without starting a second run. */
  start(task: string, input?: unknown, options?: StartOptions): Promise<Run>;
  /** The run with this ID, without a request to the host. */
  run(id: string): Run;
  runs(filter?: RunFilter): Promise<{ runs: RunInfo[]; next: string | null }>;
  /** All tasks, and files that could not be loaded. */
  tasks(): Promise<any>;
  task(name: string): Promise<any>;
  /** Uploads a file as the task `app/name`, if the host accepts uploads. `created`: the task is new. `replaced`: new runs use
   * this version. `accepted`: the file is in the tasks folder, but not loaded yet. */
  putTask(
    name: string,
    file: Blob | ArrayBuffer | ArrayBufferView,
    options?: { signal?: AbortSignal },
  ): Promise<'created' | 'replaced' | 'accepted'>;
  /** The URL of a path of the host. */
  at(path: string, query?: Query): URL;
  /** Sends any other request, and returns the response's JSON. */
  request(method: string, path: string, options?: RequestOptions): Promise<any>;
  /** Sends any other request, and returns the response. */
  open(method: string, path: string, options?: RequestOptions): Promise<Response>;
}

/** A run of a host. */
export class Run {
  constructor(host: Host, run: string | RunInfo);
  readonly host: Host;
  readonly id: string;
  /** The path of its stream, if known. */
  readonly stream?: string;
  info(options?: { signal?: AbortSignal }): Promise<RunInfo>;
  follow(options?: Omit<FollowOptions, 'host'>): AsyncGenerator<StreamEvent | Notice, void, undefined>;
  /** Waits for the run's end. Returns the result of a completed run; otherwise throws a `RunError`. */
  result(options?: { signal?: AbortSignal }): Promise<any>;
  /** Requests cancellation of the run. */
  cancel(): Promise<RunInfo>;
  /** Starts a new run like this ended one, with the same input or the given one. Repeats the request if it gets no response,
   * without starting a second run. */
  retry(input?: unknown, options?: StartOptions): Promise<Run>;
  /** Pauses the run. */
  pause(): Promise<RunInfo>;
  resume(): Promise<RunInfo>;
  /** Sends a signal, which is queued until the run receives it. */
  signal(name: string, payload?: unknown): Promise<RunInfo>;
  setParameter(name: string, value: unknown): Promise<RunInfo>;
  parameters(): Promise<Record<string, any>>;
  /** The child runs. */
  children(): Promise<any>;
  /** The output files. */
  files(): Promise<any>;
  /** Deletes the run from the host. Rejected until the run has ended. */
  delete(): Promise<void>;
}

/** The host rejected a request. */
export class HostError extends Error {
  constructor(status: number, problem: Record<string, any>, retryAfterMs?: number);
  readonly status: number;
  /** A machine-readable kind, such as `unknown-run`; empty if the response was not from the host. */
  readonly kind: string;
  /** The problem as of RFC 9457. */
  readonly problem: Record<string, any>;
  readonly retryAfterMs?: number;
}

/** A run did not complete. */
export class RunError extends Error {
  constructor(run: RunInfo);
  readonly run: RunInfo;
  /** `failed` or `cancelled`. */
  readonly status: RunStatus;
  /** The cause, such as `failure`, `trap` or `deadline-exceeded`. */
  readonly kind?: string;
  /** The code of the task's failure. */
  readonly code?: string;
}

// ---- pages

/** The data of a `view` event; see docs/events.md. */
export type ViewUpdate =
  | { op: 'text'; target: string; text: string; mode?: 'append' | 'prepend' | 'replace' }
  | { op: 'html'; target: string; html: string }
  | { op: 'insert'; target: string; html: string; at?: 'append' | 'prepend' }
  | { op: 'remove'; target: string; selector: string }
  | { op: 'prune'; target: string; limit: number; edge?: 'top' | 'bottom' }
  | { op: 'start'; target: string }
  | { op: 'done'; target: string }
  | { op: 'error'; target: string; message: string }
  | { op: 'state'; state: any }
  | { op: 'frame'; ops: ViewUpdate[] };

/** What a task's HTML is allowed to do. The defaults are for tasks that the page does not trust. */
export interface SanitizeOptions {
  /** The document that the HTML is for. Default: `document`. */
  page?: Document;
  /** Which images load: `data` only images in the HTML itself (`data:`), `same-origin` also the page's own, `any` also images
   * of other hosts, which then learn who views the page, and any data that the task puts into the URLs. Default: `same-origin`. */
  images?: 'data' | 'same-origin' | 'any';
  /** A prefix for IDs, classes and references to them, so that they can't be the page's own. Empty: they stay unchanged, and a
   * task can look like a part of the page. Default: `user-content-`. */
  prefix?: string;
}

export interface ViewOptions {
  /** Options of the client's own sanitiser. */
  html?: Omit<SanitizeOptions, 'page'>;
  /** Replaces the client's own sanitiser: converts a task's HTML to a safe fragment. */
  sanitize?: (html: string) => DocumentFragment;
}

export interface ConnectOptions extends Omit<FollowOptions, 'host'>, ViewOptions {
  /** Updates change only elements in it. Default: the whole page. */
  root?: Document | Element;
  /** The run to show. Default: the value of `data-stream-run` or `data-stream-url` of `root`. */
  run?: Run | { id: string; stream: string } | string;
  /** The run to show, by the URL of its stream. */
  url?: string | URL;
  host?: Host | string | URL;
  /** Called with every event before it is shown. */
  onEvent?: (event: StreamEvent | Notice) => void;
}

/** The connection of a page to the run that it shows. */
export interface Connection {
  readonly view: View;
  /** Resolves to the last event once it is shown, or undefined after `close`. Rejects if the host rejects the request permanently. */
  readonly done: Promise<StreamEvent | undefined>;
  /** Closes the connection; the run continues. */
  close(): void;
}

/** Shows a run in the elements below `root`. Disconnects `root` from a run that it showed before. */
export function connect(options?: ConnectOptions): Connection;
/** Connects every element with `data-stream-run` or `data-stream-url` that is not connected. Called automatically when the page has loaded. */
export function connectAll(page?: ParentNode): void;

/** Applies updates to the elements below `root`, all pending ones together, in the browser's next frame. */
export class View {
  constructor(root?: Document | Element, options?: ViewOptions);
  /** Queues an update. With `element`, it applies to that element instead of those that `target` names. */
  apply(update: ViewUpdate, element?: Element): void;
  /** The number of pending updates. */
  readonly pending: number;
  /** Resolves when the updates that are pending now have been applied. */
  written(): Promise<void>;
  /** Applies pending updates at once. */
  flush(): void;
  /** Marks every target that is still being written as complete, or as failed with `message`. */
  finish(message?: string): void;
}

/** Sanitises HTML with an allow-list: nothing is left that runs, loads scripts or styles, or sends anything. */
export function sanitize(html: string, options?: SanitizeOptions): DocumentFragment;

/** The updates in the data of a `view` event, in order: those in a frame, or else the single one. */
export function updatesOf(data: any): Generator<ViewUpdate, void, undefined>;

export interface ProgressItem {
  /** Empty for the run itself. */
  id: string;
  parent?: string;
  weight?: number;
  /** `cancelled` only for items that the end of the run has closed. */
  status: 'waiting' | 'running' | 'completed' | 'failed' | 'skipped' | 'cancelled';
  done?: number;
  total?: number;
  percent?: number;
  message?: string;
}

export interface ProgressNode {
  item: ProgressItem;
  /** Its parts. */
  parts: ProgressNode[];
  /** From 0 to 1; undefined if unknown. Without a value of the item itself, the weighted average of its parts. */
  fraction: number | undefined;
}

/** The state of a run's progress, from its `progress` events. */
export class Progress {
  /** By ID, in the order of their first events. */
  readonly items: Map<string, ProgressItem>;
  /** Applies the data of an event. Returns the item that it updates, if it is valid. */
  update(data: unknown): ProgressItem | undefined;
  /** Closes all open items when the run has ended as `completed`, `failed` or `cancelled`. */
  close(status: string): void;
  /** From 0 to 1; undefined if unknown. Without an ID, the run's. */
  fraction(id?: string): number | undefined;
  /** The root items with their parts, and the run's fraction. */
  tree(): { roots: ProgressNode[]; fraction: number | undefined };
}
