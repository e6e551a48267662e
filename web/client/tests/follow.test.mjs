// Following a run over connections that do all that connections do.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Host, HostError, follow, followBatches, retryNow } from '../streamtask.js';
import { PREAMBLE, all, frame, notice, openStream, positionOf, serve } from './harness.mjs';

const TEXTS = ['one', 'zwölf', '日本語', '👩‍👩‍👧 family', 'line\nbreak', 'data: x', '\u2028', '"quoted"'];
const DATA = Array.from({ length: 40 }, (_, n) => `${n} ${TEXTS[n % TEXTS.length]}`);
const LOG = [...DATA.map((text, n) => frame(n + 1, 'word', text)), frame(DATA.length + 1, 'run.completed', { status: 'completed' })];
const after = (seq) => LOG.slice(seq).join('');
const FAST = { retryMs: 1 };

function assertWhole(events) {
  assert.deepEqual(events.map((event) => event.seq), Array.from({ length: LOG.length }, (_, n) => n + 1));
  assert.deepEqual(events.slice(0, -1).map((event) => event.data), DATA);
}

test('every event comes once and whole, wherever the connection is cut off', async (t) => {
  // Each connection is cut off one byte later than the one before, so within characters, lines and fields.
  const length = Buffer.byteLength(PREAMBLE + LOG[0]);
  const server = await serve(t, (request, response, nth) => {
    const bytes = Buffer.from(PREAMBLE + after(positionOf(request)));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(bytes.subarray(0, length + ((nth * 7) % 97)), () => response.destroy());
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, FAST)));
  assert(server.requests.length > 10);
});

test('bytes that come one by one make the same events', async (t) => {
  const server = await serve(t, async (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.socket.setNoDelay(true);
    for (const byte of Buffer.from(PREAMBLE + after(LOG.length - 4))) {
      response.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    response.end();
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, { after: LOG.length - 4 }));
  assert.deepEqual(events.map((event) => event.data).slice(0, -1), DATA.slice(-3));
});

test('line ends of either kind, comments and unknown fields are read as the standard says', async (t) => {
  const [head, end] = [frame(1, 'word', 'x').replaceAll('\n', '\r\n'), LOG.at(-1).replace(/"seq":\d+/, '"seq":2')];
  const split = frame(9, 'word', 'y').replace(/data: (.{20})(.*),"seq":9/, 'data:$1\ndata: $2,"seq":9');
  assert.match(split, /data:.*\ndata:/);
  const server = await serve(t, (request, response) => {
    openStream(response, `:\n: comment: x\nunknown: 1\nid\ndata\n\n`.replace('data\n', '') + head + end);
    response.end();
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`));
  assert.deepEqual(events.map((event) => event.data), ['x', { status: 'completed' }]);
});

test('what a server sends again is not delivered again', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, LOG.slice(0, nth * 9).join('') + LOG.slice(0, nth).join(''));
    response.end();
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, FAST)));
});

test('it comes back with the last number, by header and by query', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? LOG.slice(0, 3).join('') : after(3));
    response.end();
  });
  await all(follow(`${server.url}/stream/a/t/r?tail=5`, FAST));
  const [first, second] = server.requests;
  assert.equal(first.headers['last-event-id'], undefined);
  assert.equal(second.headers['last-event-id'], '3');
  assert.equal(new URL(second.url, server.url).searchParams.get('after'), '3');
});

test('a connection that has gone mute is given up', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    // Open for ever.
    if (nth === 1) openStream(response, LOG.slice(0, 5).join(''));
    else openStream(response, after(positionOf(request)));
  });
  const states = [];
  const options = { ...FAST, heartbeatSeconds: 0.2, onState: (state) => states.push(state) };
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, options)));
  assert.equal(server.requests.length, 2);
  const waiting = states.find((state) => state.state === 'waiting');
  assert.equal(waiting.after, 5);
  assert.match(waiting.error.message, /nothing came/);
});

test('signs of life keep a silent connection', async (t) => {
  const server = await serve(t, async (request, response) => {
    openStream(response, LOG.slice(0, 5).join(''));
    for (let beat = 0; beat < 30; beat += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      response.write(': alive\n\n');
    }
    response.end(after(5));
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { heartbeatSeconds: 0.4 })));
  assert.equal(server.requests.length, 1);
  assert.match(server.requests[0].url, /heartbeat=0.4/);
});

test('a reader who takes its time is not taken for a silent connection', async (t) => {
  let stream;
  const server = await serve(t, (request, response) => {
    stream = response;
    openStream(response);
    // Not with the first bytes, on which it waits for longer.
    setTimeout(() => response.write(LOG.slice(0, 5).join('')), 50);
  });
  const events = follow(`${server.url}/stream/a/t/r`, { heartbeatSeconds: 0.1, ...FAST });
  const read = [(await events.next()).value];
  // For longer than it would wait for a sign of life.
  await new Promise((resolve) => setTimeout(resolve, 500));
  stream.end(after(5));
  assertWhole([...read, ...(await all(events))]);
  assert.equal(server.requests.length, 1);
});

test('where no stream comes through, it polls', async (t) => {
  let polls = 0;
  const server = await serve(t, (request, response) => {
    // A stream is held back; what has an end comes through.
    if (!/live=false/.test(request.url)) return;
    polls += 1;
    openStream(response, LOG.slice(positionOf(request), polls * 15).join(''));
    response.end();
  });
  const states = [];
  const options = { ...FAST, openMs: 300, pollMs: 1, onState: ({ state }) => states.push(state) };
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, options)));
  assert.deepEqual(states, ['connecting', 'waiting', 'connecting', 'waiting', 'polling', 'polling', 'polling', 'ended']);
});

test('a poll that takes long to gather is waited for, longer each time', async (t) => {
  const asked = [];
  const server = await serve(t, (request, response) => {
    if (!/live=false/.test(request.url)) return;
    asked.push(performance.now());
    // Whole, and not before that.
    const timer = setTimeout(() => {
      openStream(response, after(positionOf(request)));
      response.end();
    }, 700);
    response.on('close', () => clearTimeout(timer));
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, openMs: 200, pollMs: 1 })));
  assert(asked.length > 1, `${asked}`);
});

test('a poll has what is there, and goes on from there', async (t) => {
  const server = await serve(t, (request, response) => {
    if (!/live=false/.test(request.url)) return;
    openStream(response, LOG.slice(positionOf(request), positionOf(request) + 20).join(''));
    response.end();
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, openMs: 500, pollMs: 1 })));
  const polls = server.requests.filter(({ url }) => /live=false/.test(url));
  assert.deepEqual(polls.map(positionOf), [0, 20, 40]);
});

test('what comes between the polls of a reader who begins now is not left out', async (t) => {
  let polls = 0;
  const server = await serve(t, (request, response) => {
    const { pathname } = new URL(request.url, 'http://host');
    if (pathname === '/stream/a/t/r/status') return void response.end('{"last_seq":30}');
    if (!/live=false/.test(request.url)) return;
    polls += 1;
    openStream(response, polls < 3 ? '' : after(positionOf(request)));
    response.end();
  });
  const options = { ...FAST, openMs: 300, pollMs: 1, from: 'now' };
  const seen = await all(follow(`${server.url}/stream/a/t/r?channel=`, options));
  assert.deepEqual([seen[0].seq, seen.length], [31, LOG.length - 30]);
  assert.equal(server.requests.filter(({ url }) => url.endsWith('/status')).length, 1);
});

test('a host that can\'t be reached is no reason to poll', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    if (nth < 6) return request.socket.destroy();
    openStream(response, after(0));
    response.end();
  });
  const states = [];
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, onState: ({ state }) => states.push(state) })));
  assert(!states.includes('polling'));
});

test('204 is the end', async (t) => {
  const server = await serve(t, (request, response) => response.writeHead(204).end());
  assert.deepEqual(await all(follow(`${server.url}/stream/a/t/r`, { after: 41 })), []);
  assert.equal(server.requests.length, 1);
});

for (const status of [400, 401, 403, 404, 410]) {
  test(`${status} is told at once`, async (t) => {
    const server = await serve(t, (request, response) => {
      response.writeHead(status, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ type: 'urn:streamtask:problem:unknown-run', detail: 'there is no run "r"', status }));
    });
    const refused = all(follow(`${server.url}/stream/a/t/r`, FAST));
    await assert.rejects(refused, (error) => {
      assert(error instanceof HostError);
      assert.deepEqual([error.status, error.kind, error.message], [status, 'unknown-run', 'there is no run "r"']);
      return true;
    });
    assert.equal(server.requests.length, 1);
  });
}

test('errors that pass are waited out, as long as the host asks', async (t) => {
  const passing = [
    (response) => response.writeHead(503, { 'retry-after': '0.05' }).end(),
    (response) => response.writeHead(502).end('<html>bad gateway</html>'),
    (response) => response.writeHead(429).end('null'),
    // The page of a hotel that wants a room number.
    (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<form>'),
    (response) => openStream(response, 'data: {"broken\n\n'),
  ];
  const server = await serve(t, (request, response, nth) => {
    const fault = passing[nth - 1];
    if (fault) return void fault(response);
    openStream(response, after(positionOf(request)));
  });
  const waits = [];
  const onState = (state) => state.state === 'waiting' && waits.push(state.retryInMs);
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, onState })));
  assert.equal(waits.length, passing.length);
  assert(waits[0] >= 50);
});

test('pauses grow, and begin anew after an event', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    if (nth % 5 !== 0) return void response.writeHead(500).end();
    openStream(response, nth === 5 ? LOG[0] : after(1));
    response.end();
  });
  const waits = [];
  const onState = (state) => state.state === 'waiting' && waits.push(state.retryInMs);
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { retryMs: 2, onState })));
  const between = (nth, least, most) => assert(waits[nth] > least && waits[nth] <= most, `${waits}`);
  between(0, 0, 2);
  between(3, 7, 16);
  between(4, 0, 2);
});

test('retryNow ends a pause, but none that the host asked for', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    if (nth === 1) return response.destroy();
    if (nth === 2) return response.writeHead(503, { 'retry-after': '0.3' }).end();
    openStream(response, after(0));
    response.end();
  });
  const times = [];
  const onState = ({ state }) => {
    times.push([state, Date.now()]);
    // Not yet in this moment: the pause begins when all have heard of it.
    if (state === 'waiting') setTimeout(retryNow);
  };
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { retryMs: 60_000, onState })));
  const waited = times.flatMap(([state, time], nth) => (state === 'waiting' ? [times[nth + 1][1] - time] : []));
  assert(waited[0] < 10_000 && waited[1] >= 290, `it waited ${waited} ms`);
});

test('with giveUpMs it gives up', async (t) => {
  const server = await serve(t, (request, response) => response.writeHead(503).end());
  await assert.rejects(all(follow(`${server.url}/stream/a/t/r`, { ...FAST, giveUpMs: 20 })), { status: 503 });
});

test('a gap is told, and not asked for again', async (t) => {
  const gap = { from: 3, to: 30, reason: 'pruned' };
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? LOG.slice(0, 2).join('') + notice(30, 'gap', gap) : after(30));
    response.end();
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, FAST));
  assert.deepEqual(events.slice(0, 4).map((event) => event.seq ?? event.data), [1, 2, gap, 31]);
  assert.equal(positionOf(server.requests[1]), 30);
});

test('a log that never had the position is delivered from its beginning, and that is told', async (t) => {
  const server = await serve(t, (request, response) => {
    openStream(response, notice(0, 'gap', { requested: '900', reason: 'unknown-position' }) + after(0));
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, { after: 900 }));
  assert.equal(events[0].data.reason, 'unknown-position');
  assertWhole(events.slice(1));
});

test('an event that a connection lost is asked for again', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? LOG.filter((_, n) => n !== 7).join('') : after(positionOf(request)));
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, FAST)));
  assert.equal(positionOf(server.requests[1]), 7);
});

test('an event that a log does not have is told as a gap', async (t) => {
  const server = await serve(t, (request, response) => {
    openStream(response, LOG.slice(positionOf(request)).filter((_, n) => n + positionOf(request) !== 7).join(''));
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, FAST));
  assert.deepEqual(events[7], { type: 'gap', data: { from: 8, to: 8, reason: 'missing' } });
  assert.equal(events.length, LOG.length);
});

test('with a filter, numbers that are left out are none that are missing', async (t) => {
  const server = await serve(t, (request, response) => openStream(response, LOG[4] + LOG[9] + LOG.at(-1)));
  const events = await all(follow(`${server.url}/stream/a/t/r`, { types: ['word', 'other'], channels: ['', 'c'] }));
  assert.deepEqual(events.map((event) => event.seq), [5, 10, LOG.length]);
  const { searchParams } = new URL(server.requests[0].url, server.url);
  assert.deepEqual([searchParams.get('types'), searchParams.get('channel')], ['word,other', ',c']);
});

/** Events of which some came as one: 3 to 6, and 7 to 9. */
const joined = (from, to) => frame(to, 'view', { op: 'frame', ops: DATA.slice(from - 1, to).map((text) => ({ op: 'text', target: 'a', text })) }, { first_seq: from });
const JOINED = [LOG[0], LOG[1], joined(3, 6), joined(7, 9), ...LOG.slice(9)];

test('an event that stands for several leaves nothing out', async (t) => {
  const server = await serve(t, (request, response) => openStream(response, JOINED.join('')));
  const events = await all(follow(`${server.url}/stream/a/t/r`, { intervalMs: 16 }));
  assert.deepEqual(events.map(({ seq }) => seq).slice(0, 6), [1, 2, 6, 9, 10, 11]);
  assert.deepEqual(events.map(({ first_seq: first }) => first).slice(0, 5), [undefined, undefined, 3, 7, undefined]);
  assert.equal(server.requests.length, 1);
  assert.match(server.requests[0].url, /[?&]interval=16(&|$)/);
});

test('after an event that stands for several, it comes back with the number of the last', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? JOINED.slice(0, 3).join('') : after(positionOf(request)));
    response.end();
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, intervalMs: 16 }));
  assert.deepEqual(events.map(({ seq }) => seq).slice(0, 5), [1, 2, 6, 7, 8]);
  assert.deepEqual(server.requests.map(positionOf), [0, 6]);
});

test('one that was lost before it is asked for again', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? LOG[0] + joined(3, 6) : after(positionOf(request)));
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, intervalMs: 16 })));
  assert.deepEqual(server.requests.map(positionOf), [0, 1]);
});

test('of one that stands for what came before too, nothing is taken twice', async (t) => {
  const server = await serve(t, (request, response) => {
    // Whatever is asked for, this connection begins two events before it.
    const from = Math.max(0, positionOf(request) - 2);
    const isJoined = new URL(request.url, 'http://x').searchParams.has('interval');
    if (isJoined) openStream(response, from === 0 ? LOG.slice(0, 5).join('') + joined(4, 9) : joined(from + 1, from + 9));
    else openStream(response, after(from));
  });
  const states = [];
  const onState = ({ state, error }) => states.push([state, error?.message]);
  // Whole means once and in order. By the address too, which may be anybody's.
  assertWhole(await all(follow(`${server.url}/stream/a/t/r?interval=16`, { ...FAST, onState })));
  assert.deepEqual(server.requests.map(positionOf), [0, 5]);
  assert.deepEqual(states.find(([state]) => state === 'waiting')[1], 'the events 4 to 9 came as one, after 5 had come');
});

test('with a filter too, nothing is taken twice', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    openStream(response, nth === 1 ? LOG[4] + joined(3, 7) : LOG[5] + LOG.at(-1));
  });
  const events = await all(follow(`${server.url}/stream/a/t/r`, { ...FAST, types: ['view'], intervalMs: 16 }));
  assert.deepEqual(events.map(({ seq }) => seq), [5, 6, LOG.length]);
});

test('one that stands for nothing that can be is damaged', async (t) => {
  for (const first of [0, -1, 1.5, '1', null, 3]) {
    const server = await serve(t, (request, response, nth) => {
      openStream(response, nth === 1 ? frame(2, 'view', {}, { first_seq: first }) : after(0));
    });
    assertWhole(await all(follow(`${server.url}/stream/a/t/r`, FAST)));
    assert.equal(server.requests.length, 2, `${first}`);
  }
});

test('what comes in one piece of megabytes is given in parts', async (t) => {
  const count = 20_000;
  const text = Array.from({ length: count }, (_, n) => frame(n + 1, 'word', 'x'.repeat(100))).join('');
  const server = await serve(t, (request, response) => {
    openStream(response, text + frame(count + 1, 'run.completed', {}));
    response.end();
  });
  // A platform that hands over all that came.
  const whole = async (url, init) => {
    const answer = await fetch(url, init);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return new Response(new Blob([bytes]).stream().pipeThrough(new TransformStream({ start() {}, transform() {}, flush: (out) => out.enqueue(bytes) })), answer);
  };
  const host = new Host(server.url, { fetch: whole });
  const lengths = [];
  for await (const batch of followBatches(`${server.url}/stream/a/t/r`, { host })) lengths.push(batch.length);
  assert.equal(lengths.reduce((sum, length) => sum + length), count + 1);
  assert(Math.max(...lengths) < 300, `${Math.max(...lengths)}`);
});

test('a host that stops is come back to', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    if (nth > 1) return openStream(response, after(positionOf(request)));
    openStream(response, LOG.slice(0, 5).join('') + notice(5, 'run.stream-closing', { reason: 'the host is stopping' }));
    response.end();
  });
  assertWhole(await all(follow(`${server.url}/stream/a/t/r`, FAST)));
});

test('a signal ends it with its reason, while it reads and while it waits', async (t) => {
  const server = await serve(t, (request, response, nth) => {
    if (nth === 1) openStream(response, LOG[0]);
    else response.writeHead(503).end();
  });
  for (const what of ['open', 'waiting']) {
    const stop = new AbortController();
    const onState = ({ state }) => state === what && setTimeout(() => stop.abort(new Error('enough')), 5);
    const events = all(follow(`${server.url}/stream/a/t/r`, { signal: stop.signal, retryMs: 60_000, onState }));
    await assert.rejects(events, { message: 'enough' });
  }
});

test('who leaves the loop closes the connection', async (t) => {
  let closed;
  const isClosed = new Promise((resolve) => (closed = resolve));
  const server = await serve(t, (request, response) => {
    response.on('close', closed);
    openStream(response, LOG[0]);
  });
  for await (const event of follow(`${server.url}/stream/a/t/r`)) {
    assert.equal(event.seq, 1);
    break;
  }
  await isClosed;
});

test('headers go with every request to the host, and to no other', async (t) => {
  const server = await serve(t, (request, response) => {
    openStream(response, after(0));
  });
  let asked = 0;
  const host = new Host(`${server.url}/below/`, { headers: async () => ({ authorization: `Bearer ${(asked += 1)}` }) });
  assertWhole(await all(follow('/stream/a/t/r', { host })));
  assert.equal(server.requests[0].headers.authorization, 'Bearer 1');
  assert.match(server.requests[0].url, /^\/below\/stream\/a\/t\/r\?/);
  await assert.rejects(all(follow('http://other.invalid/stream/a/t/r', { host })), TypeError);
});

test('a start without an answer is repeated under its key', async (t) => {
  const run = { id: 'r', stream: '/stream/a/t/r' };
  const server = await serve(t, (request, response, nth) => {
    if (nth === 1) request.socket.destroy();
    else if (nth === 2) response.writeHead(503, { 'retry-after': '0' }).end('{}');
    else response.writeHead(202).end(JSON.stringify(run));
  });
  const started = await new Host(server.url).start('a/t', { x: 1 }, { labels: { by: 'me' }, resources: ['p', 'q'] });
  assert.equal(started.id, 'r');
  const keys = new Set(server.requests.map((request) => request.headers['idempotency-key']));
  assert.equal(keys.size, 1);
  assert.match([...keys][0], /^[0-9a-f]{32}$/);
  assert.equal(server.requests[2].url, '/api/tasks/a/t/runs?label=by%3Ame&resource=p&resource=q');
});

test('a run is tried again once, also where the answer is lost', async (t) => {
  const bodies = [];
  const server = await serve(t, async (request, response, nth) => {
    const chunks = await all(request);
    bodies.push(Buffer.concat(chunks).toString());
    if (nth === 1) request.socket.destroy();
    else response.writeHead(202).end(JSON.stringify({ id: `r${nth}`, stream: '/stream/a/t/r2' }));
  });
  const run = new Host(server.url).run('r/1');
  assert.equal((await run.retry()).id, 'r2');
  await run.retry({ other: 1 }, { labels: { by: 'me' } });
  assert.deepEqual(server.requests.map(({ method, url }) => `${method} ${url}`), ['POST /api/runs/r%2F1/retry', 'POST /api/runs/r%2F1/retry', 'POST /api/runs/r%2F1/retry?label=by%3Ame']);
  const [first, second, third] = server.requests.map(({ headers }) => headers['idempotency-key']);
  assert(first === second && second !== third);
  assert.deepEqual(bodies, ['', '', '{"other":1}']);
});

test('a file is put as it is, and what became of it is told', async (t) => {
  const statuses = [201, 200, 202, 422];
  const bodies = [];
  const server = await serve(t, async (request, response, nth) => {
    bodies.push([...Buffer.concat(await all(request))]);
    response.writeHead(statuses[nth - 1]).end(nth === 4 ? '{"type":"urn:streamtask:problem:invalid-task","detail":"no"}' : '');
  });
  const host = new Host(server.url);
  const bytes = Uint8Array.of(0, 97, 255);
  assert.equal(await host.putTask('a/t', bytes), 'created');
  assert.equal(await host.putTask('t', new Blob([bytes])), 'replaced');
  assert.equal(await host.putTask('a/t', bytes.buffer), 'accepted');
  await assert.rejects(host.putTask('a/t', bytes), { kind: 'invalid-task' });
  assert.deepEqual(bodies, Array(4).fill([...bytes]));
  assert.deepEqual(server.requests.slice(0, 2).map(({ method, url, headers }) => [method, url, headers['content-type']]), [
    ['PUT', '/api/tasks/a/t', 'application/wasm'],
    ['PUT', '/api/tasks/default/t', 'application/wasm'],
  ]);
});

test('a start that is refused is not repeated', async (t) => {
  const server = await serve(t, (request, response) => response.writeHead(400).end('{"detail":"no"}'));
  await assert.rejects(new Host(server.url).start('a/t'), { name: 'HostError', status: 400, message: 'no' });
  assert.equal(server.requests.length, 1);
});
