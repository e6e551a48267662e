// Text that UTF-8 can't hold, on its way to the host.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Failure, task } from 'streamtask-sdk';
import { Recording } from 'streamtask-sdk/testing';

import { toFailure } from '../src/errors.js';
import { wellFormedJson } from '../src/text.js';

const BROKEN = 'a\ud83cb';
const MENDED = 'a\ufffdb';

test('half of a pair becomes U+FFFD wherever text goes to the host', async () => {
  const recording = new Recording({
    parameters: { [MENDED]: 1 },
    signals: [{ name: MENDED, payload: 2 }],
    children: { [MENDED]: (input) => ({ status: 'completed', value: input }) },
  });
  const result = await recording.start(task(async (ctx) => {
    ctx.send(BROKEN, { [BROKEN]: BROKEN }, { channel: BROKEN });
    ctx.sendBytes(BROKEN, 'text/plain', BROKEN);
    ctx.log(BROKEN);
    ctx.progress({ id: BROKEN, message: BROKEN });
    ctx.view.html(BROKEN, BROKEN);
    ctx.checkpoint.save(BROKEN, BROKEN);
    const child = ctx.startChild(BROKEN, BROKEN, { key: BROKEN });
    return [
      BROKEN, ctx.checkpoint.load(BROKEN), ctx.parameter(BROKEN), (await ctx.receiveSignal(BROKEN)).payload, await child.result(),
    ];
  }));
  assert.deepEqual(result, [MENDED, MENDED, 1, 2, MENDED]);
  assert.deepEqual(recording.events, [
    { channel: MENDED, type: MENDED, data: { [MENDED]: MENDED } },
    { type: MENDED, contentType: 'text/plain', bytes: new TextEncoder().encode(MENDED) },
    { type: 'log', data: { level: 'info', message: MENDED } },
    { type: 'progress', data: { id: MENDED, message: MENDED } },
    { type: 'view', data: { op: 'html', target: MENDED, html: MENDED } },
  ]);
  assert.deepEqual([...recording.checkpoints.keys()], [MENDED]);
});

test('each half is one, and what only looks like one stays', () => {
  for (const text of ['\udc00\ud800', '\ud83c\udf89', '\ud83c\ud83c\udf89', '\\ud83c', '\\\ud83c', '"\\"\ud83c', '\u0001\n']) {
    assert.equal(JSON.parse(wellFormedJson(JSON.stringify(text))), text.toWellFormed());
    assert.ok(wellFormedJson(JSON.stringify(text)).isWellFormed());
  }
});

test('a failure says only what JSON can', () => {
  const failure = toFailure(new Failure(BROKEN, { code: BROKEN, details: { [BROKEN]: BROKEN } }));
  assert.deepEqual([failure.message, failure.code, JSON.parse(failure.details)], [MENDED, MENDED, { [MENDED]: MENDED }]);
  assert.equal(toFailure(BROKEN).message, MENDED);
});
