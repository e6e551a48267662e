// Streams what an async generator yields: a task without an SDK, against the bare contract.

import { cancelled, sleepMs } from 'streamtask:task/control@1.0.0';
import { sendEvent } from 'streamtask:task/events@1.0.0';

// Written out once, while the component is built.
const DESCRIPTION = JSON.stringify({
  description: 'Streams the pages that an async generator yields.',
  input_schema: {
    type: 'object',
    properties: {
      pages: {
        description: 'How many pages there are.',
        type: 'integer', minimum: 0, maximum: 1_000_000, default: 10,
      },
      load_ms: {
        description: 'How long the slowest part of a page takes.',
        type: 'integer', minimum: 0, maximum: 60_000, default: 200,
      },
      pause_ms: {
        description: 'How long to wait between two pages.',
        type: 'integer', minimum: 0, maximum: 3_600_000, default: 0,
      },
    },
  },
  output_schema: {
    type: 'object',
    properties: { pages: { type: 'integer' }, parts: { type: 'integer' } },
    required: ['pages', 'parts'],
  },
});

const PARTS = ['title', 'text', 'pictures'];

export function describe() {
  return DESCRIPTION;
}

// The contract is synchronous, and yet this may be an async function: the instance
// turns its own event loop until the promise is settled. Waiting holds no thread.
export async function process(input) {
  const { pages = 10, load_ms = 200, pause_ms = 0 } = JSON.parse(input);
  const result = { pages: 0, parts: 0 };
  try {
    for await (const page of load(pages, load_ms, pause_ms)) {
      const message = `page ${page.nth} of ${pages}: ${page.parts.join(', ')}`;
      sendEvent('progress', JSON.stringify({ step: page.nth, total: pages, message }));
      result.pages += 1;
      result.parts += page.parts.length;
    }
  } catch (error) {
    throw asFailure(error);
  }
  return JSON.stringify(result);
}

// Yields one page after the other.
async function* load(pages, loadMs, pauseMs) {
  for (let nth = 1; nth <= pages; nth += 1) {
    // The parts load at the same time: a page takes as long as its slowest part.
    const parts = PARTS.map((part, i) => later((loadMs * (i + 1)) / PARTS.length, part));
    yield { nth, parts: await Promise.all(parts) };
    pause(nth < pages ? pauseMs : 0);
  }
}

// Does not hear that the run is cancelled: for short waits, and for several at once.
function later(ms, value) {
  return new Promise((resolve) => setTimeout(resolve, ms, value));
}

// Stops the whole instance, timers included, but ends as soon as the run is cancelled.
function pause(ms) {
  if (ms > 0) sleepMs(ms);
  if (cancelled()) throw new Failure('the run was cancelled', 'cancelled');
}

// Thrown from `process`, an error whose `payload` is a failure of the contract becomes that.
class Failure extends Error {
  constructor(message, code, retryable = false) {
    super(message);
    this.payload = { message, code, retryable };
  }
}

// The imports throw an error whose `payload` is an error of the contract: the host's refusal.
// What has none is a bug: it ends the run, with its trace in the log.
function asFailure(error) {
  if (error instanceof Failure || !error?.payload) return error;
  const { message, code } = error.payload;
  return new Failure(message, code, code === 'unavailable');
}
