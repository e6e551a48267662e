// What a task can do, on a host that remembers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cancelled, Failure, HostError, task } from 'streamtask-sdk';
import { Recording } from 'streamtask-sdk/testing';

const run = async (work, options, input) => {
  const recording = new Recording(options);
  const result = await recording.start(task(work), input);
  return { recording, result };
};

test('events keep their order, type, channel and data', async () => {
  const { recording } = await run((ctx) => {
    ctx.send('a', { n: 1 });
    ctx.send('b', 'text', { channel: 'side' });
    ctx.send('nothing');
    ctx.sendBytes('c', 'image/png', new Uint8Array([1, 2]), { channel: 'side' });
    ctx.log('careful', 'warn');
    ctx.progress({ step: 1, total: undefined });
  });
  assert.deepEqual(recording.events, [
    { type: 'a', data: { n: 1 } },
    { type: 'b', channel: 'side', data: 'text' },
    { type: 'nothing', data: null },
    { type: 'c', channel: 'side', contentType: 'image/png', bytes: new Uint8Array([1, 2]) },
    { type: 'log', data: { level: 'warn', message: 'careful' } },
    { type: 'progress', data: { step: 1 } },
  ]);
});

test('a refusal is an error with the code of the contract, and ends the task with it', async () => {
  await run((ctx) => {
    assert.throws(() => ctx.send('run.mine', 1), (error) => error instanceof HostError && error.code === 'invalid-argument');
    assert.throws(() => ctx.send('x'.repeat(129)), { code: 'invalid-argument' });
    assert.throws(() => ctx.send('large', 'x'.repeat(2 ** 20)), { code: 'too-large' });
  });
  await assert.rejects(run((ctx) => ctx.send('gap', 1)), { code: 'invalid-argument' });
});

test('data without a form in JSON is an error that says so', async () => {
  await assert.rejects(run((ctx) => ctx.send('n', 1n)), /the data of the event can't be encoded as JSON/);
});

test('every yield is a progress event, and the last value is the result', async () => {
  for (const work of [
    function* () { yield { n: 1 }; yield { n: 2 }; },
    async function* () { yield { n: 1 }; yield { n: 2 }; },
    (ctx) => ctx.stream([{ n: 1 }, { n: 2 }]),
  ]) {
    const { recording, result } = await run(work);
    assert.deepEqual(recording.data('progress'), [{ n: 1 }, { n: 2 }]);
    assert.deepEqual(result, { n: 2 });
  }
});

test('what a generator returns is the result', async () => {
  const { result } = await run(function* () { yield 1; return 'end'; });
  assert.equal(result, 'end');
});

test('a generator of a cancelled run ends before its next value, and cleans up', async () => {
  let cleaned = false;
  const recording = new Recording({ cancelAfter: 100 });
  const endless = task(async function* (ctx) {
    try {
      for (let n = 0; ; n += 1) {
        yield n;
        ctx.sleepSync(40);
      }
    } finally {
      cleaned = true;
    }
  });
  await assert.rejects(recording.start(endless), Cancelled);
  assert.deepEqual(recording.data('progress'), [0, 1, 2]);
  assert.ok(cleaned);
});

test('an array is a result and not a stream', async () => {
  const { recording, result } = await run(() => [1, 2]);
  assert.deepEqual([recording.events, result], [[], [1, 2]]);
});

test('sleeps that are awaited together pass together', async () => {
  const { recording } = await run((ctx) => Promise.all([ctx.sleep(300), ctx.sleep(200), ctx.sleep(300)]));
  assert.equal(recording.elapsed, 300);
});

test('a sleep ends by throwing when the run is cancelled, and the signal turns aborted', async () => {
  const { recording, result } = await run(
    async (ctx) => {
      const heard = [];
      ctx.signal.addEventListener('abort', () => heard.push('abort'));
      await assert.rejects(ctx.sleep(1000), Cancelled);
      await assert.rejects(ctx.sleep(0), Cancelled);
      assert.throws(() => ctx.sleepSync(1), Cancelled);
      return [ctx.cancelled, ctx.signal.aborted, ctx.signal.reason instanceof Cancelled, heard];
    },
    { cancelAfter: 250 },
  );
  assert.deepEqual(result, [true, true, true, ['abort']]);
  assert.equal(recording.elapsed, 250);
});

test('a sleep longer than the contract can say is slept in parts', async () => {
  const hundredDays = 100 * 24 * 3600 * 1000;
  for (const sleep of [(ctx) => ctx.sleep(hundredDays), (ctx) => ctx.sleepSync(hundredDays)]) {
    const { recording } = await run(sleep);
    assert.equal(recording.elapsed, hundredDays);
  }
});

test('signals come by name, oldest first, and a wait for one can have an end', async () => {
  const signals = [{ name: 'a', payload: 1 }, { name: 'b', payload: 2 }, { name: 'a' }];
  const { recording, result } = await run(
    async (ctx) => [
      await ctx.receiveSignal('b'),
      await ctx.receiveSignal(),
      await ctx.receiveSignal('a', { timeout: 0 }),
      (await ctx.receiveSignal('a', { timeout: 500 })) ?? 'none',
    ],
    { signals },
  );
  assert.deepEqual(result, [{ name: 'b', payload: 2 }, { name: 'a', payload: 1 }, { name: 'a', payload: null }, 'none']);
  assert.equal(recording.elapsed, 500);
});

test('whichever of two signals comes first ends the wait for either', async () => {
  const { result } = await run(
    (ctx) => Promise.race([ctx.receiveSignal('stop'), ctx.receiveSignal('go')]),
    { signals: [{ name: 'go', payload: 7 }] },
  );
  assert.deepEqual(result, { name: 'go', payload: 7 });
});

test('a long wait for several things takes a test no time', async () => {
  const hour = 3600 * 1000;
  const { recording, result } = await run(async (ctx) => {
    const signals = ['stop', 'go'].map((name) => ctx.receiveSignal(name, { timeout: 100 * hour }));
    return (await Promise.race([...signals, ctx.sleep(99 * hour)])) ?? 'over';
  });
  assert.deepEqual([result, recording.elapsed], ['over', 99 * hour]);
});

test('a wait for a signal ends when the run is cancelled', async () => {
  await assert.rejects(run((ctx) => ctx.receiveSignal('go'), { cancelAfter: 50 }), Cancelled);
});

test('a wait for a signal that nobody sends fails the test instead of hanging', async () => {
  await assert.rejects(run((ctx) => ctx.receiveSignal('go')), /that the test does not send/);
  const either = (ctx) => Promise.race([ctx.receiveSignal('stop'), ctx.receiveSignal('go')]);
  await assert.rejects(run(either), /that the test does not send/);
});

test('parameters and facts are those of the test', async () => {
  const { result } = await run(
    (ctx) => [ctx.parameter('speed'), ctx.parameter('other') ?? 'unset', ctx.info.attempt, ctx.info.labels, ctx.remaining],
    { parameters: { speed: 3 }, attempt: 2, labels: { k: 'v' }, deadline: 1000 },
  );
  assert.deepEqual(result, [3, 'unset', 2, { k: 'v' }, 1000]);
});

test('checkpoints are JSON or bytes, and survive the attempt', async () => {
  const { recording, result } = await run(({ checkpoint }) => {
    const earlier = checkpoint.load('place');
    checkpoint.save('place', { n: earlier.n + 1 });
    checkpoint.saveBytes('raw', new Uint8Array([255]));
    checkpoint.remove('old');
    assert.throws(() => checkpoint.load('raw'), /not JSON/);
    return [checkpoint.load('place'), [...checkpoint.loadBytes('raw')], checkpoint.load('old') ?? 'gone'];
  }, { checkpoints: { place: { n: 1 }, old: 1 } });
  assert.deepEqual(result, [{ n: 2 }, [255], 'gone']);
  assert.deepEqual([...recording.checkpoints.keys()], ['place', 'raw']);
});

test('children are started, waited for, and their failures passed on', async () => {
  const failed = { status: 'failed', error: { kind: 'trap', message: 'crashed' } };
  const { recording, result } = await run(
    async (ctx) => {
      const parts = [1, 2].map((n) => ctx.startChild('double', { n }));
      const doubled = await Promise.all(parts.map((part) => part.result()));
      const { index, child, outcome } = await ctx.waitForAny([ctx.startChild('bad')]);
      await assert.rejects(child.result(), (error) => error instanceof Failure && /trap.*crashed/.test(error.message));
      assert.throws(() => ctx.startChild('unknown'), { code: 'not-found' });
      return { doubled, index, outcome };
    },
    { children: { double: ({ n }) => ({ status: 'completed', value: 2 * n }), bad: failed } },
  );
  assert.deepEqual(result, { doubled: [2, 4], index: 0, outcome: failed });
  assert.deepEqual(recording.children[1], { task: 'double', input: { n: 2 } });
});

test('updates of a page carry only what was said', async () => {
  const { recording } = await run(({ view }) => {
    view.text('out', 'a<b');
    view.insert('out', '<p>', { at: 'prepend' });
    view.prune('out', 5);
    view.state(null);
  });
  assert.deepEqual(recording.data('view'), [
    { op: 'text', target: 'out', text: 'a<b' },
    { op: 'insert', target: 'out', html: '<p>', at: 'prepend' },
    { op: 'prune', target: 'out', limit: 5 },
    { op: 'state', state: null },
  ]);
});
