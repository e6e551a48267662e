// Streams the values of an async generator.

import { task } from 'streamtask-sdk';

const about = {
  description: 'Streams the pages that an async generator yields.',
  input: {
    type: 'object',
    properties: {
      pages: {
        description: 'Number of pages.',
        type: 'integer', minimum: 0, maximum: 1_000_000, default: 10,
      },
      load_ms: {
        description: 'Duration of the slowest part of a page.',
        type: 'integer', minimum: 0, maximum: 60_000, default: 200,
      },
      pause_ms: {
        description: 'Pause between two pages.',
        type: 'integer', minimum: 0, maximum: 3_600_000, default: 0,
      },
    },
    additionalProperties: false,
  },
  output: {
    type: 'object',
    properties: { pages: { type: 'integer' }, parts: { type: 'integer' } },
    required: ['pages', 'parts'],
  },
};

const PARTS = ['title', 'text', 'pictures'];

// Each yielded value becomes a `progress` event; the return value is the result.
export default task(about, async function* (ctx, { pages, load_ms, pause_ms }) {
  const result = { pages: 0, parts: 0 };
  for await (const page of load(ctx, pages, load_ms, pause_ms)) {
    yield { step: page.nth, total: pages, message: `page ${page.nth} of ${pages}: ${page.parts.join(', ')}` };
    result.pages += 1;
    result.parts += page.parts.length;
  }
  return result;
});

async function* load(ctx, pages, loadMs, pauseMs) {
  for (let nth = 1; nth <= pages; nth += 1) {
    // The parts load concurrently: a page takes as long as its slowest part.
    const parts = PARTS.map((part, i) => later(ctx, (loadMs * (i + 1)) / PARTS.length, part));
    yield { nth, parts: await Promise.all(parts) };
    if (nth < pages) await ctx.sleep(pauseMs);
  }
}

// Throws as soon as the run is cancelled.
async function later(ctx, ms, value) {
  await ctx.sleep(ms);
  return value;
}
