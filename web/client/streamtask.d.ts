/** Starts, follows and steers runs of a streamtask host, and shows them on a page. */

// ---- what a run says

/** An event of a run's log. */
export interface StreamEvent<T = any> {
  /** Such as `progress`. Types that begin with `run.` come from the host. */
  type: string;
  /** Any JSON value; of bytes a string in Base64, with `content_type`. */
  data: T;
  /** Its number: from 1, without gaps. */
  seq: number;
  /** The number of the first event that it stands for, where several came as one. */
  first_seq?: number;
  attempt: number;
  /** RFC 3339. */
  timestamp: string;
  channel?: string;
  content_type?: string;
  /** The run's id, app and task. */
  _task_id: string;
  _app: string;
  _model: string;
}

/** What a stream says that is not in the log: events are missing at this place. It has no number. */
export interface Notice {
  type: 'gap';
  data: {
    /** `pruned`: retention removed them. `removed`: the whole run was removed. `unknown-position`: the log
     * never had the position that was asked for, and comes from its beginning. `missing`: the host left them
     * out without a word. */
    reason: 'pruned' | 'removed' | 'unknown-position' | 'missing';
    from?: number;
    to?: number;
    requested?: string;
  };
  seq?: undefined;
}

export type RunStatus = 'queued' | 'delayed' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled';

/** A run, as `GET /api/runs/{run}` has it. */
export interface RunInfo {
  id: string;
  app: string;
  task: string;
  version: string | null;
  status: RunStatus;
  attempt: number;
  input: any;
  /** The result, when there is one. */
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
  /** Path of its stream. */
  stream: string;
}

// ---- following

/** A run, its id, or the address of its stream: whole, or a path of the host such as `/stream/demo/counter/first`. */
export type Target = Run | { stream: string } | string | URL;

/** How things are with the connection. */
export interface State {
  /** `waiting`: the connection was lost and is tried again after `retryInMs`. `polling`: no stream comes
   * through to here, so what is new is asked for now and then. */
  state: 'connecting' | 'open' | 'waiting' | 'polling' | 'ended';
  /** The last event delivered. */
  after?: number;
  /** Why it waits. */
  error?: unknown;
  retryInMs?: number;
}

export interface FollowOptions {
  /** A `Host`, or its address. Default: that of `target`, or that of `new Host()`. */
  host?: Host | string | URL;
  /** Begin after the event with this number. 0 is the beginning, and the default. */
  after?: number;
  /** Begin with the newest so many events. Ignored with `after`. */
  tail?: number;
  /** `now`: begin with what comes. `latest`: with the newest event. Where a connection is lost before the first
   * event has come, both mean the moment in which the next one opens. Ignored with `after`. */
  from?: 'start' | 'now' | 'latest';
  /** Only these types, and the end. */
  types?: string[];
  /** Only these channels, and the end. The empty name is the default channel. */
  channels?: string[];
  /** The host sends at most once in so many milliseconds, and `view` events that follow each other come as one, with the
   * number of the last as `seq` and that of the first as `first_seq`. Default: each by itself, at once. */
  intervalMs?: number;
  /** Ends it: the iterator throws the signal's reason. */
  signal?: AbortSignal;
  /** Hears how things are with the connection. */
  onState?: (state: State) => void;
  /** Throws if nothing at all was heard for so long. Default: it tries for ever. */
  giveUpMs?: number;
  /** After so much silence the host gives a sign of life; 2.5 times as much, and the connection counts as dead. 0: never. Default: 15. */
  heartbeatSeconds?: number;
  /** A stream that has said nothing for so long is held back by something; after two of these it is polled. Default: 10,000. */
  openMs?: number;
  /** Pause between two polls. Default: 2,000. */
  pollMs?: number;
  /** First pause after a lost connection; each further one is twice as long, up to 30 s. Default: what the host asks for. */
  retryMs?: number;
}

/**
 * What a run says, from `after` on, as it comes, until its end: each event once and in order, over lost
 * connections, restarts of the host and the sleep of a laptop. Throws a `HostError` if the host refuses for good.
 */
export function follow(target: Target, options?: FollowOptions): AsyncGenerator<StreamEvent | Notice, void, undefined>;
/** The same in lists of what came together, for who can handle many at once better. */
export function followBatches(target: Target, options?: FollowOptions): AsyncGenerator<(StreamEvent | Notice)[], void, undefined>;
/**
 * Tries lost connections again at once, also starts without an answer: for a page that knows from elsewhere that its host is
 * back. Pauses that the host asked for (`Retry-After`) stay as long as they are.
 */
export function retryNow(): void;
/** Whether this event is the last of its run: `run.completed`, `run.failed` or `run.cancelled`. */
export function isEnd(event: StreamEvent | Notice): boolean;

// ---- the host's API

/** Query parameters; a list is given several times, `undefined` not at all. */
export type Query = Record<string, string | number | boolean | undefined | (string | number)[]>;

export interface HostOptions {
  /** Sent with every request, and to no other host. A function is asked each time. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  credentials?: RequestCredentials;
  /** In place of the platform's own. */
  fetch?: typeof globalThis.fetch;
}

export interface RequestOptions {
  query?: Query;
  /** Sent as JSON; a `Blob`, an `ArrayBuffer` or a view of one as it is. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface StartOptions {
  /** The run's id, if it shall not be the host's to choose. */
  id?: string;
  labels?: Record<string, string>;
  /** The same key starts the same run once. Default: a random one, so that a request without an answer can be repeated. */
  idempotencyKey?: string;
  /** Begin no sooner. */
  notBefore?: Date | string;
  /** Begin after so much time, such as `10m`. */
  delay?: string;
  /** From -100 to 100; higher goes first. */
  priority?: number;
  /** What it needs for itself alone. */
  resources?: string[];
  /** If one of these is taken. */
  ifBusy?: 'wait' | 'fail';
  /** `cancel`: the run is cancelled some seconds after the last who followed it went away. Default: `continue`. */
  onDisconnect?: 'continue' | 'cancel';
  signal?: AbortSignal;
}

/** Filters of a list of runs; `cursor` is the `next` of the list before. */
export interface RunFilter {
  task?: string;
  status?: RunStatus;
  /** One label. */
  labels?: Record<string, string>;
  parent?: string;
  limit?: number;
  cursor?: string;
}

/** A host. Every method throws a `HostError` if the host refuses. */
export class Host {
  /** The default is the host that served `/streamtask.js`, or else whoever served the page. */
  constructor(url?: string | URL, options?: HostOptions);
  readonly url: URL;
  /** Starts a run of the task `app/name`. Repeats the request if no answer comes, which starts no second run. */
  start(task: string, input?: unknown, options?: StartOptions): Promise<Run>;
  /** The run with this id, without asking the host. */
  run(id: string): Run;
  runs(filter?: RunFilter): Promise<{ runs: RunInfo[]; next: string | null }>;
  /** What is loaded, and what is not. */
  tasks(): Promise<any>;
  task(name: string): Promise<any>;
  /** Makes a file the task `app/name`, where the host takes uploads. `created`: it is a new task. `replaced`: new runs take
   * this version. `accepted`: it is in the host's folder, and not loaded yet. */
  putTask(
    name: string,
    file: Blob | ArrayBuffer | ArrayBufferView,
    options?: { signal?: AbortSignal },
  ): Promise<'created' | 'replaced' | 'accepted'>;
  /** The address of a path of the host. */
  at(path: string, query?: Query): URL;
  /** Any other request; the answer's JSON. */
  request(method: string, path: string, options?: RequestOptions): Promise<any>;
  /** The same, with the answer as it is. */
  open(method: string, path: string, options?: RequestOptions): Promise<Response>;
}

/** A run of a host. */
export class Run {
  constructor(host: Host, run: string | RunInfo);
  readonly host: Host;
  readonly id: string;
  /** Path of its stream, if it is known. */
  readonly stream?: string;
  info(options?: { signal?: AbortSignal }): Promise<RunInfo>;
  follow(options?: Omit<FollowOptions, 'host'>): AsyncGenerator<StreamEvent | Notice, void, undefined>;
  /** Waits for the end. The result of a run that completed; of any other it throws a `RunError`. */
  result(options?: { signal?: AbortSignal }): Promise<any>;
  /** Asks it to end. */
  cancel(): Promise<RunInfo>;
  /** Starts another run like this one, which has ended: with the same input, or with that one. Repeats the request if no
   * answer comes, which starts no second run. */
  retry(input?: unknown, options?: StartOptions): Promise<Run>;
  /** Holds it where it is. */
  pause(): Promise<RunInfo>;
  resume(): Promise<RunInfo>;
  /** Sends a signal, which waits until the run takes it. */
  signal(name: string, payload?: unknown): Promise<RunInfo>;
  setParameter(name: string, value: unknown): Promise<RunInfo>;
  parameters(): Promise<Record<string, any>>;
  /** The runs that it has started. */
  children(): Promise<any>;
  /** The files that it has left. */
  files(): Promise<any>;
  /** Removes it from the host. Refused while it goes on. */
  delete(): Promise<void>;
}

/** The host refused a request. */
export class HostError extends Error {
  constructor(status: number, problem: Record<string, any>, retryAfterMs?: number);
  readonly status: number;
  /** A word for programs, such as `unknown-run`; empty if the answer was not the host's. */
  readonly kind: string;
  /** The problem as RFC 9457 has it. */
  readonly problem: Record<string, any>;
  readonly retryAfterMs?: number;
}

/** A run did not complete. */
export class RunError extends Error {
  constructor(run: RunInfo);
  readonly run: RunInfo;
  /** `failed` or `cancelled`. */
  readonly status: RunStatus;
  /** What ended it, such as `failure`, `trap` or `deadline-exceeded`. */
  readonly kind?: string;
  /** The task's own word for a failure. */
  readonly code?: string;
}

// ---- pages

/** The data of a `view` event; docs/events.md has what each does. */
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

/** What a task's html may do besides being read. The defaults are for tasks and pages that are strangers to each other. */
export interface SanitizeOptions {
  /** The page that it is for. Default: `document`. */
  page?: Document;
  /** Which images load: `data` those in the html itself (`data:`), `same-origin` also the page's own, `any` also those of
   * other hosts, which then learn who looks at the page, and whatever the task writes into their addresses. Default: `same-origin`. */
  images?: 'data' | 'same-origin' | 'any';
  /** What ids and classes get in front, and what refers to them, so that none is the page's own. Empty: they stay as they
   * are, and a task can look like a part of the page. Default: `user-content-`. */
  prefix?: string;
}

export interface ViewOptions {
  /** For the client's own sanitiser. */
  html?: Omit<SanitizeOptions, 'page'>;
  /** In place of the client's own: makes of a task's html what may go into the page. */
  sanitize?: (html: string) => DocumentFragment;
}

export interface ConnectOptions extends Omit<FollowOptions, 'host'>, ViewOptions {
  /** Only elements in it are written to. Default: the whole page. */
  root?: Document | Element;
  /** What to show. Default: what `data-stream-run` or `data-stream-url` of `root` says. */
  run?: Run | { id: string; stream: string } | string;
  /** The same, by the address of its stream. */
  url?: string | URL;
  host?: Host | string | URL;
  /** Hears every event before it is shown. */
  onEvent?: (event: StreamEvent | Notice) => void;
}

/** A page that shows a run. */
export interface Connection {
  readonly view: View;
  /** The terminal event, once it is shown; undefined after `close`. Rejected if the host refuses for good. */
  readonly done: Promise<StreamEvent | undefined>;
  /** Ends the connection; the run goes on. */
  close(): void;
}

/** Shows a run in the elements below `root`. A `root` that shows another one is disconnected from that. */
export function connect(options?: ConnectOptions): Connection;
/** Connects every element with `data-stream-run` or `data-stream-url` that is not connected. Done once by itself. */
export function connectAll(page?: ParentNode): void;

/** Writes updates into the elements below `root`, all that wait at once, in the browser's next frame. */
export class View {
  constructor(root?: Document | Element, options?: ViewOptions);
  /** Takes an update. With `element`, it is for that and not for those which `target` names. */
  apply(update: ViewUpdate, element?: Element): void;
  /** How many updates wait. */
  readonly pending: number;
  /** Resolves when all that waits now is written. */
  written(): Promise<void>;
  /** Writes what waits at once. */
  flush(): void;
  /** Every target that is still being written is complete, or has failed with `message`. */
  finish(message?: string): void;
}

/** What an allow-list leaves of html: nothing that runs, loads scripts or styles, or sends anything. */
export function sanitize(html: string, options?: SanitizeOptions): DocumentFragment;

/** The updates that the data of a `view` event says, in order: of a frame those in it, of any other that itself. */
export function updatesOf(data: any): Generator<ViewUpdate, void, undefined>;

export interface ProgressItem {
  /** Empty for the run as a whole. */
  id: string;
  parent?: string;
  weight?: number;
  /** `cancelled` only of what the end of the run has closed. */
  status: 'waiting' | 'running' | 'completed' | 'failed' | 'skipped' | 'cancelled';
  done?: number;
  total?: number;
  percent?: number;
  message?: string;
}

export interface ProgressNode {
  item: ProgressItem;
  /** What is a part of it. */
  parts: ProgressNode[];
  /** From 0 to 1; undefined if nothing is known. What an item does not say of itself, its parts say together, by weight. */
  fraction: number | undefined;
}

/** What the `progress` events of a run say together. */
export class Progress {
  /** By id, in the order in which they were first heard of. */
  readonly items: Map<string, ProgressItem>;
  /** Takes in the data of one event; the item that it speaks of, if it is about progress. */
  update(data: unknown): ProgressItem | undefined;
  /** Closes what is still open when the run has ended as `completed`, `failed` or `cancelled`. */
  close(status: string): void;
  /** From 0 to 1; undefined if nothing is known. Without an id, of the run. */
  fraction(id?: string): number | undefined;
  /** The items that are part of no other, with their parts; and how far the run is. */
  tree(): { roots: ProgressNode[]; fraction: number | undefined };
}
