// What the types promise: that this compiles, and that what it says is wrong does not.

import { type Context, type FromSchema, parse, task } from 'streamtask-sdk';
import { Recording } from 'streamtask-sdk/testing';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

const SCHEMA = {
  type: 'object',
  properties: {
    count: { type: 'integer', minimum: 0 },
    name: { type: 'string', default: 'nobody' },
    tags: { type: 'array', items: { enum: ['a', 'b'] } },
    when: { type: ['string', 'null'] },
    either: { anyOf: [{ type: 'boolean' }, { const: 'auto' }] },
    nested: { type: 'object', properties: { deep: { type: 'number' } }, required: ['deep'] },
    free: { type: 'object', additionalProperties: { type: 'number' } },
  },
  required: ['count', 'tags'],
} as const;

interface Expected {
  count: number;
  name: string;
  tags: ('a' | 'b')[];
  when?: string | null;
  either?: boolean | 'auto';
  nested?: { deep: number };
  free?: { [key: string]: number };
}

export function types(): void {
  const parsed = parse(SCHEMA, {});
  const expected: Expected = parsed;
  const back: FromSchema<typeof SCHEMA> = expected;
  same<typeof parsed.name, string>(true);
  same<typeof parsed.when, string | null | undefined>(true);
  void back;

  // Written in the call, a schema needs no `as const`.
  task({ input: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] } }, (ctx, { n }) => {
    same<typeof ctx, Context>(true);
    same<typeof n, number>(true);
    // @ts-expect-error there is no such thing in the schema
    task({ input: { type: 'object', properties: {} } }, (_, { x }) => x);
    return n.toFixed();
  });

  // The output is checked, whichever way it is made.
  const output = { type: 'object', properties: { sum: { type: 'number' } }, required: ['sum'] } as const;
  const input = { type: 'object' } as const;
  task({ input, output }, () => ({ sum: 1 }));
  task({ input, output }, async () => ({ sum: 1 }));
  task({ input, output }, async function* () {
    yield 'anything';
    return { sum: 1 };
  });
  // @ts-expect-error it is no number
  task({ input, output }, () => ({ sum: 'one' }));

  task<{ a: string }, number>({ description: 'Its type is said.' }, (_, { a }) => a.length);
  task((_, x) => x);

  task(async (ctx) => {
    ctx.progress({ id: 'a', status: 'running' });
    // @ts-expect-error no such status
    ctx.progress({ id: 'a', status: 'begun' });
    // @ts-expect-error no such level
    ctx.log('x', 'loud');
    const ended = await ctx.waitFor(ctx.startChild('other'));
    return ended.status === 'failed' ? ended.error.kind : ended.value;
  });

  void new Recording({ cancelAfter: 10 }).data('x');
}
