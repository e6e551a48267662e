// The conformance kit in JavaScript: does what the case says.

import { Cancelled, Failure, HostError, parse, task } from 'streamtask-sdk';

const TYPED = {
  type: 'object',
  properties: { count: { type: 'integer' }, name: { type: 'string', default: 'nobody' } },
  required: ['count'],
};

const cases = {
  echo: (_, { value }) => ({ value }),

  events(ctx, { events }) {
    for (const { type, data, channel } of events) ctx.send(type, data, { channel });
    return { sent: events.length };
  },

  bytes(ctx, { size, content_type, channel }) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
    ctx.sendBytes('picture', content_type, bytes, { channel });
    return { size };
  },

  refused: (ctx) => refusal(() => ctx.send('run.mine', 1)),

  'too-large': (ctx, { size }) => refusal(() => ctx.send('large', 'x'.repeat(size))),

  many(ctx, { n }) {
    for (let i = 0; i < n; i += 1) ctx.send('n', { i });
    return { sent: n };
  },

  flush(ctx) {
    ctx.send('before');
    ctx.flush();
    ctx.send('after');
    return { flushed: true };
  },

  async sleep(ctx, { ms }) {
    await ctx.sleep(ms);
    return { slept: true };
  },

  info: (ctx) => ctx.info,

  remaining: (ctx) => ({ remaining_ms: ctx.remaining ?? null }),

  async cancel(ctx) {
    ctx.send('waiting', {});
    try {
      for (;;) await ctx.sleep(60_000);
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
      ctx.send('noticed', {});
      return { partial: true };
    }
  },

  async signal(ctx, { name, timeout_ms }) {
    ctx.send('waiting', {});
    const signal = await ctx.receiveSignal(name, { timeout: timeout_ms ?? undefined });
    return { signal: signal ?? null };
  },

  async parameter(ctx, { name }) {
    ctx.send('waiting', {});
    await ctx.receiveSignal('go');
    return { value: ctx.parameter(name) ?? null };
  },

  checkpoint({ checkpoint }) {
    const loaded = checkpoint.load('step');
    if (loaded === undefined) {
      checkpoint.save('step', { step: 1 });
      throw new Failure('the next attempt finds a checkpoint', { code: 'once-more', retryable: true });
    }
    checkpoint.remove('step');
    return { loaded, after: checkpoint.load('step') ?? null };
  },

  failure(_, { message, code, details, retryable, retry_after_ms }) {
    throw new Failure(message, {
      code: code ?? undefined,
      details: details ?? undefined,
      retryable,
      retryAfter: retry_after_ms ?? undefined,
    });
  },

  exception() {
    const nothing = undefined;
    return nothing.boom;
  },

  log(ctx) {
    ctx.log('to the log ✓', 'warn');
    console.error('to stderr');
  },

  progress(ctx) {
    ctx.progress({ step: 1, total: 2, message: 'half' });
    ctx.progress({ id: 'import', status: 'running', total: 80, done: 20 });
    ctx.progress({ id: 'index', parent: 'import', weight: 3, status: 'waiting' });
  },

  view({ view }) {
    view.start('out');
    view.text('out', 'a<b');
    view.text('out', 'c', { mode: 'prepend' });
    view.html('out', '<p>x</p>');
    view.insert('out', '<p>y</p>', { at: 'prepend' });
    view.remove('out', 'p');
    view.prune('out', 5, { edge: 'top' });
    view.error('out', 'broken');
    view.done('out');
    view.state({ n: 1 });
  },

  *generator() {
    for (let n = 1; n <= 3; n += 1) yield { n };
  },

  async *'async-generator'() {
    for (let n = 1; n <= 3; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      yield { n };
    }
  },

  'typed-input'(_, input) {
    const { count, name } = parse(TYPED, input);
    return { count, name };
  },

  async child(ctx, { task, input }) {
    const outcome = await ctx.waitFor(ctx.startChild(task, input));
    if (outcome.status === 'completed') return { completed: outcome.value };
    if (outcome.status === 'cancelled') return { cancelled: outcome.value ?? null };
    const { kind, message, code = null } = outcome.error;
    return { failed: { kind, message, code } };
  },

  async http(_, { url }) {
    const response = await fetch(url, { headers: { 'X-Kit': 'yes' } });
    return { status: response.status, body: await response.text() };
  },

  random: () => ({ random: Math.random() }),

  'broken-text'(ctx) {
    const text = 'a\ud83cb';
    ctx.send('broken', { text });
    ctx.log(text);
    ctx.progress({ step: 1, total: 2, message: text });
    return { text };
  },

  panic() {
    outer();
  },

  async 'panic-elsewhere'(ctx) {
    setTimeout(outer, 1);
    await ctx.sleep(100);
  },

  'out-of-memory'() {
    const kept = [];
    for (;;) kept.push(new Uint8Array(2 ** 20).fill(1));
  },

  'endless-loop'() {
    for (let n = 0; ; n += 1);
  },

  'wrong-type': () => ['not', 'an', 'object'],

  abort: unsupported,

  exit: unsupported,

  async denied(_, { url }) {
    const response = await fetch(url);
    return { status: response.status };
  },

  'load-missing': ({ checkpoint }) => ({ loaded: checkpoint.load('missing') ?? null }),

  'load-other': unsupported,
};

// Three calls deep, as far as an error can tell.
function outer() {
  middle();
}

function middle() {
  deep();
}

function deep() {
  throw new RangeError('boom');
}

function unsupported() {
  throw new Failure('JavaScript has no such thing', { code: 'unsupported' });
}

function refusal(call) {
  try {
    call();
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { code: error.code, message: error.message };
  }
  throw new Failure('the host has not refused it');
}

export default task({ description: 'The conformance kit.' }, (ctx, input) => {
  const run = Object.hasOwn(cases, input.case) ? cases[input.case] : undefined;
  if (run === undefined) throw new Failure(`there is no case ${input.case}`, { code: 'unknown-case' });
  return run(ctx, input);
});
