// Follows a log file, as `tail -F` does.

import { Failure, task } from 'streamtask-sdk';
import { open, stat } from 'streamtask-sdk/files';

import { Lines } from './lines.ts';

/** Bytes of a long file after which it saves its position, and checks for cancellation. */
const ROUND_BYTES = 1024 * 1024;

export default task(
  {
    description: 'Follows a log file: each new line becomes an event.',
    input: {
      type: 'object',
      properties: {
        file: { description: 'Path of the file, in a granted folder.', type: 'string', default: '/logs/app.log' },
        contains: { description: 'Send only lines with this text.', type: 'string', default: '' },
        from: { description: 'Where to start.', enum: ['start', 'end'], default: 'start' },
        lines: { description: 'End after this many lines; 0: no limit.', type: 'integer', minimum: 0, default: 0 },
        idle_ms: { description: 'End after this time without a new line; 0: never.', type: 'integer', minimum: 0, default: 0 },
        poll_ms: { description: 'Polling interval.', type: 'integer', minimum: 10, maximum: 60_000, default: 250 },
      },
      additionalProperties: false,
    },
    output: {
      type: 'object',
      properties: { lines: { type: 'integer' }, bytes: { type: 'integer' } },
      required: ['lines', 'bytes'],
    },
  },
  async (ctx, { file: path, contains, from, lines: most, idle_ms, poll_ms }) => {
    // The next attempt continues from the checkpoint, also after a crash of the host.
    const saved = ctx.checkpoint.load<Place>('place');
    const place: Place = saved ?? { offset: from === 'end' ? sizeOf(path) : 0, sent: 0, read: 0 };
    const lines = new Lines();
    let idle = 0;
    for (;;) {
      const size = sizeOf(path);
      if (size < place.offset + lines.pending) {
        ctx.log(`${path} was cut off or replaced: from its beginning again`, 'warn');
        lines.clear();
        place.offset = 0;
      }
      const begin = place.offset + lines.pending;
      const end = Math.min(size, begin + ROUND_BYTES);
      let news = false;
      for (const { text, bytes } of lines.of(chunks(path, begin, end))) {
        news = true;
        place.offset += bytes;
        place.read += bytes;
        if (!text.includes(contains)) continue;
        ctx.send('line', text);
        place.sent += 1;
        if (place.sent === most) return { lines: place.sent, bytes: place.read };
      }
      if (news) ctx.checkpoint.save('place', place);
      if (end < size) {
        ctx.checkCancelled();
        continue;
      }
      idle = news ? 0 : idle + poll_ms;
      if (idle_ms > 0 && idle >= idle_ms) return { lines: place.sent, bytes: place.read };
      await ctx.sleep(poll_ms);
    }
  },
);

/** The position up to which the file was sent. */
interface Place {
  /** The offset after the last complete line. */
  offset: number;
  sent: number;
  read: number;
}

function sizeOf(path: string): number {
  const found = stat(path);
  if (found?.type === 'file') return found.size;
  throw new Failure(`${path} is not there; is its folder granted?`, { code: 'no-such-file' });
}

function* chunks(path: string, offset: number, end: number): Generator<Uint8Array> {
  if (offset >= end) return;
  const file = open(path);
  try {
    while (offset < end) {
      const bytes = file.read(offset);
      if (bytes.length === 0) return;
      offset += bytes.length;
      yield bytes;
    }
  } finally {
    file.close();
  }
}
