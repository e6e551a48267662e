// What src/ makes is what streamtask.d.ts says; checked by the compiler, not run.

import type * as said from '../streamtask.js';
// Written by `tsc` out of src/.
import type * as made from '../types/index.js';

declare const client: typeof made;
export const same: typeof said = client;

export async function use(): Promise<number> {
  const { Host, follow, connect } = same;
  const host = new Host('http://127.0.0.1:8080', { headers: async () => ({ authorization: 'Bearer x' }) });
  const run = await host.start('demo/counter', { steps: 3 }, { labels: { by: 'me' }, delay: '1s' });
  let last = 0;
  for await (const event of follow(run, { after: last, types: ['progress'], onState: ({ state }) => state })) {
    if (event.seq === undefined) throw new Error(event.data.reason);
    last = event.seq;
  }
  const connection: said.Connection = connect({ run, onEvent: (event) => event.type });
  await connection.done;
  connect({ run, html: { images: 'any', prefix: 'task-' } });
  // @ts-expect-error where images come from is one of a few words
  connect({ run, html: { images: 'all' } });
  // @ts-expect-error a status is one of a few words
  await host.runs({ status: 'over' });
  return (await run.result()) as number;
}
