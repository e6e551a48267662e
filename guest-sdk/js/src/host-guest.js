// The host of a component: adapts the contract's imports to the interface that the rest of the SDK
// uses. The only module that depends on the contract's bindings.

import * as checkpoints from 'streamtask:task/checkpoints@1.0.0';
import * as children from 'streamtask:task/children@1.0.0';
import * as control from 'streamtask:task/control@1.0.0';
import * as events from 'streamtask:task/events@1.0.0';
import * as run from 'streamtask:task/run@1.0.0';
import { HostError } from './errors.js';
import { parseJson } from './json.js';

// A rejected call throws the contract's error as the payload.
function call(ask) {
  try {
    return ask();
  } catch (thrown) {
    const { code, message } = thrown?.payload ?? {};
    throw typeof code === 'string' ? new HostError(code, message) : thrown;
  }
}

const unlessNull = (value) => value ?? undefined;

export const host = {
  now: () => performance.now(),

  send: (channel, type, json) =>
    call(() => (channel ? events.sendEventOn(channel, type, json) : events.sendEvent(type, json))),
  sendBytes: (channel, type, contentType, bytes) =>
    call(() => events.sendBytes(channel ?? '', type, contentType, bytes)),
  flush: () => call(() => events.flush()),

  info() {
    const { labels, ...facts } = run.info();
    return { ...facts, labels: Object.fromEntries(labels) };
  },
  remaining: () => unlessNull(run.remainingMs()),

  cancelled: () => control.cancelled(),
  sleep: (ms) => control.sleepMs(ms),
  receiveSignal(name, ms) {
    const signal = control.receiveSignal(name, ms);
    return signal && { name: signal.name, payload: parseJson(signal.payload) };
  },
  parameter: (name) => parseJson(unlessNull(control.parameter(name))),

  save: (key, bytes) => call(() => checkpoints.save(key, bytes)),
  load: (key) => unlessNull(call(() => checkpoints.load(key))),
  remove: (key) => call(() => checkpoints.remove(key)),

  startChild: (task, input, { key, detached = false, priority }) =>
    call(() => children.start(task, input, { key, detached, priority })),
  waitForChildren(runs, ms) {
    const ended = call(() => children.wait(runs, ms));
    return ended && { index: ended[0], outcome: outcome(ended[1]) };
  },
  cancelChild: (id) => call(() => children.cancel(id)),
};

function outcome({ tag, val }) {
  if (tag !== 'failed') return { status: tag, value: parseJson(unlessNull(val)) };
  const { kind, message, code, details } = val;
  return { status: tag, error: { kind, message, code: unlessNull(code), details: parseJson(unlessNull(details)) } };
}

