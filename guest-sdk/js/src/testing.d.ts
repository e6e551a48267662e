import type { Outcome, Task } from './index.js';

/** The environment of the attempt. All times are in milliseconds. */
export interface RecordingOptions {
  /** The number of the attempt, from 1. */
  attempt?: number;
  labels?: Record<string, string>;
  /** The time limit of the attempt. A task is not stopped at its end, but has no time left. */
  deadline?: number;
  /** Cancels the run this long after its start, also during a sleep. */
  cancelAfter?: number;
  parameters?: Record<string, unknown>;
  /** The queued signals, in this order. */
  signals?: { name: string; payload?: unknown }[];
  /** Checkpoints of an earlier attempt: JSON values, or bytes. */
  checkpoints?: Record<string, unknown>;
  /** The outcomes of child runs, by the task's name; children end at once. */
  children?: Record<string, Outcome | ((input: any) => Outcome)>;
}

/** An event that a task sent. */
export interface RecordedEvent {
  type: string;
  /** The channel; undefined for the default channel. */
  channel?: string;
  /** The JSON value, unless the event is bytes. */
  data?: any;
  contentType?: string;
  bytes?: Uint8Array;
}

/**
 * A host that records events. It rejects the same calls as the host. Its clock only advances when
 * the task sleeps (`ctx.sleep`) or waits for a signal, so tests never wait.
 * `setTimeout` and `fetch` are those of Node.js.
 */
export class Recording {
  constructor(options?: RecordingOptions);
  /** Runs an attempt: resolves to its result, rejects with the thrown error. */
  start(task: Task, input?: unknown): Promise<any>;
  /** All events sent so far. */
  readonly events: RecordedEvent[];
  /** The types of the events sent so far. */
  readonly types: string[];
  /** The data of the JSON events of one type. */
  data(type: string): any[];
  /** The task and the input of each started child. */
  readonly children: { task: string; input: any }[];
  /** The saved checkpoints, as bytes. */
  readonly checkpoints: Map<string, Uint8Array>;
  /** How long the task has slept and waited. */
  readonly elapsed: number;
}

