import type { Outcome, Task } from './index.js';

/** What stands around the attempt. All times are in milliseconds. */
export interface RecordingOptions {
  /** 1 is the first. */
  attempt?: number;
  labels?: Record<string, string>;
  /** The attempt has this long. A task that goes on is not stopped, but has no time left. */
  deadline?: number;
  /** Cancels the run this long after its start, also in the middle of a sleep. */
  cancelAfter?: number;
  parameters?: Record<string, unknown>;
  /** What waits to be received, in this order. */
  signals?: { name: string; payload?: unknown }[];
  /** As if an earlier attempt had saved them: JSON values, or bytes. */
  checkpoints?: Record<string, unknown>;
  /** How runs of other tasks end, by the task's name; they do so at once. */
  children?: Record<string, Outcome | ((input: any) => Outcome)>;
}

/** Something that a task sent. */
export interface RecordedEvent {
  type: string;
  /** The channel; the default one has no name. */
  channel?: string;
  /** The JSON value, unless it is bytes. */
  data?: any;
  contentType?: string;
  bytes?: Uint8Array;
}

/**
 * A host that remembers. It refuses what the host refuses, and its clock stands still but for
 * the time that the task sleeps (`ctx.sleep`) or waits for a signal, so tests never wait.
 * `setTimeout` and `fetch` are those of Node.js.
 */
export class Recording {
  constructor(options?: RecordingOptions);
  /** Makes an attempt: resolves to its result, rejects with what it threw. */
  start(task: Task, input?: unknown): Promise<any>;
  /** Everything sent so far. */
  readonly events: RecordedEvent[];
  /** The types of the events sent so far. */
  readonly types: string[];
  /** The data of the JSON events of one type. */
  data(type: string): any[];
  /** The task and the input of each run that was started. */
  readonly children: { task: string; input: any }[];
  /** What is saved, as bytes. */
  readonly checkpoints: Map<string, Uint8Array>;
  /** How long the task has slept and waited. */
  readonly elapsed: number;
}

