// The client against a real host.

import assert from 'node:assert/strict';
import { request as send } from 'node:http';
import { test } from 'node:test';

import { Host, HostError, RunError, follow, isEnd } from '../streamtask.js';
import { all, serve, startHost } from './harness.mjs';

const LONG_MS = 60_000;

test('starts, follows and asks for the result', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  const events = [{ type: 'greeting', data: '"日本語"' }, { type: 'number', data: '2', channel: 'c' }];
  const run = await host.client.start('demo/probe', { do: 'send', events }, { id: 'first', labels: { by: 'test' }, onDisconnect: 'cancel' });
  assert.equal((await run.info()).on_disconnect, 'cancel');
  assert.equal(run.id, 'first');
  const seen = await all(run.follow());
  assert.deepEqual(seen.map(({ seq, type }) => [seq, type]), [
    [1, 'run.started'],
    [2, 'greeting'],
    [3, 'number'],
    [4, 'run.completed'],
  ]);
  assert.deepEqual([seen[1].data, seen[2].channel, isEnd(seen[3])], ['日本語', 'c', true]);
  assert.deepEqual(await run.result(), ['ok', 'ok']);
  assert.deepEqual((await host.client.runs({ labels: { by: 'test' } })).runs.map(({ id }) => id), ['first']);

  const { client } = host;
  const numbers = async (target, options) => (await all(follow(target, { host: client, ...options }))).map(({ seq }) => seq);
  assert.deepEqual(await numbers('first', { after: 2 }), [3, 4]);
  assert.deepEqual(await numbers('/stream/demo/probe/first', { tail: 1 }), [4]);
  assert.deepEqual(await numbers(new URL('/stream/demo/probe/first', client.url), { types: ['number'] }), [3, 4]);
  assert.deepEqual(await numbers(await run.info(), { channels: ['c'] }), [3, 4]);
  assert.deepEqual(await numbers(run, { after: 4 }), []);
  assert.equal((await all(follow(run, { after: 77 })))[0].data.reason, 'unknown-position');
});

test('steers a run', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  const run = await host.client.start('demo/probe', { do: 'signals', count: 1, timeout_ms: LONG_MS });
  assert.equal((await run.pause()).status, 'paused');
  await run.signal('hello', { from: 'Ada' });
  await run.setParameter('level', 3);
  assert.deepEqual(await run.parameters(), { level: 3 });
  assert.notEqual((await run.resume()).status, 'paused');
  assert.deepEqual(await run.result(), [{ from: 'Ada' }]);
  await run.delete();
  await assert.rejects(run.info(), { status: 404, kind: 'unknown-run' });
});

test('a run that fails or is cancelled is an error', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  const failing = await host.client.start('demo/probe', { do: 'fail' });
  await assert.rejects(failing.result(), (error) => {
    assert(error instanceof RunError);
    assert.deepEqual([error.status, error.kind, error.code, error.message], ['failed', 'failure', 'asked', 'as asked']);
    return true;
  });
  const waiting = await host.client.start('demo/probe', { do: 'until-cancelled' });
  const result = waiting.result();
  for await (const event of waiting.follow()) if (event.type === 'waiting') await waiting.cancel();
  await assert.rejects(result, { status: 'cancelled', name: 'RunError' });
  await assert.rejects(waiting.pause(), (error) => error instanceof HostError && error.status === 409);
});

test('what the host refuses is told with its reason', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  await assert.rejects(host.client.start('demo/probe', { ms: 'x' }), (error) => {
    assert.equal(error.kind, 'invalid-input');
    assert.equal(error.problem.errors[0].pointer, '#/ms');
    return true;
  });
  await assert.rejects(host.client.start('none'), { kind: 'unknown-task', message: /default\/none/ });
  await assert.rejects(all(follow('none', { host: host.client })), { kind: 'unknown-run' });
  await assert.rejects(all(follow('none')), TypeError);
  assert.throws(() => new Host(), TypeError);
});

test('a host that is killed and comes back is followed on, without a gap or a repeat', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  const run = await host.client.start('demo/probe', { do: 'work', until_stop: true, ms: 5, burst: 3, save: true });
  const seen = [];
  let kills = 0;
  for await (const event of run.follow({ retryMs: 20 })) {
    seen.push(event);
    if (event.type !== 'step' || event.data.part > 0) continue;
    if (kills < 2 && event.data.step >= 20 * (kills + 1)) {
      kills += 1;
      await host.kill();
      await host.start();
    }
    if (event.data.step === 60) await run.setParameter('stop', true);
  }
  assert.equal(seen.filter(({ type }) => type === 'begin').length, 3);
  assert.deepEqual(seen.map(({ seq }) => seq), Array.from({ length: seen.length }, (_, n) => n + 1));
  assert.equal(seen.at(-1).type, 'run.completed');
  assert.deepEqual(await all(run.follow()), seen);
});

test('behind a proxy that keeps every answer until it is whole, what is there comes while the run goes on', async (t) => {
  const host = await startHost(t, ['probe']);
  if (!host) return;
  const proxy = await serve(t, (request, response) => {
    const { method, url, headers } = request;
    const onward = send({ port: host.port, host: '127.0.0.1', method, path: url, headers }, async (answer) => {
      const chunks = await all(answer).catch(() => undefined);
      if (!chunks) return void response.destroy();
      response.writeHead(answer.statusCode, answer.headers);
      response.end(Buffer.concat(chunks));
    });
    response.on('close', () => onward.destroy());
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  const run = await host.client.start('demo/probe', { do: 'until-parameter', name: 'stop' });
  const behind = new Host(proxy.url);
  const seen = [];
  for await (const event of follow(run.id, { host: behind, openMs: 300, pollMs: 20, retryMs: 1 })) {
    seen.push(event);
    // It does not end before it was heard.
    if (event.type === 'run.started') await run.setParameter('stop', true);
  }
  assert.deepEqual(seen, await all(run.follow()));
});
