// Whole pages: a real browser, a real host, and the client between them, over two origins.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { all, serveFront, servePages, startBrowser, startHost } from './harness.mjs';

/** A host with the guest that does what it is told, and a browser that may call it; undefined if the test was skipped. */
async function setUp(t) {
  const pages = {};
  const server = await servePages(t, pages);
  const host = await startHost(t, ['probe'], ['--cors-origin', server.url]);
  const browser = host && (await startBrowser(t));
  if (!browser) return undefined;
  const open = async (body, module = '/streamtask.js') => {
    pages['/'] = `<!doctype html><meta charset="utf-8">${body}<script type="module" src="${module}" nonce="test"></script>`;
    const page = await browser.newPage();
    page.on('pageerror', (error) => assert.fail(error));
    await page.goto(server.url);
    return page;
  };
  return { host, open, address: (run) => new URL(run.stream, host.client.url).href };
}

const view = (update) => ({ type: 'view', data: JSON.stringify(update) });
const ended = (page, selector = '[data-stream-status]') => page.waitForSelector(selector, { state: 'attached' });

const KINDS = ['word ', '<b>', '&amp;', '\n', '日本', '👩‍👩‍👧', '  ', '\u0301'];
const TOKENS = Array.from({ length: 5000 }, (_, n) => `${n}${KINDS[n % KINDS.length]}`);
/** Bytes a millisecond. */
const PHONE = 500;
const WAYS = {
  'as fast as they can': {},
  'as slowly as a phone gets them': { isSlow: true },
  'gathered by the host for 16 ms': { intervalMs: 16 },
};

for (const [way, { isSlow, intervalMs }] of Object.entries(WAYS)) {
  test(`5,000 tokens come as they are, ${way}, with one write a frame`, async (t) => {
    const set = await setUp(t);
    if (!set) return;
    const events = [{ op: 'start', target: 'a' }, ...TOKENS.map((text) => ({ op: 'text', target: 'a', text })), { op: 'done', target: 'a' }];
    const page = await set.open('<main><pre data-stream="a"></pre></main>');
    const front = isSlow && (await serveFront(t, set.host, PHONE));
    await page.evaluate(() => {
      let frame = 0;
      const count = () => requestAnimationFrame(count, (frame += 1));
      count();
      window.writes = {};
      window.events = [];
      const note = (list) => {
        window.writes[frame] = (window.writes[frame] ?? 0) + list.length;
        window.since ??= [frame, performance.now()];
        window.until = [frame, performance.now()];
      };
      new MutationObserver(note).observe(document.querySelector('pre'), { childList: true, characterData: true, subtree: true });
    });
    const run = await set.host.client.start('demo/probe', { do: 'send', events: events.map(view) });
    await page.evaluate(
      async ({ url, intervalMs }) => {
        const { connect } = await import('/streamtask.js');
        const onEvent = ({ type, seq, first_seq: first }) => type === 'view' && events.push([first ?? seq, seq]);
        connect({ root: document.querySelector('main'), url, intervalMs, onEvent });
      },
      { url: new URL(run.stream, front ? front.url : set.host.client.url).href, intervalMs },
    );
    await ended(page);
    const { html, text, writes, came, frames } = await page.evaluate(() => ({
      text: document.querySelector('pre').textContent,
      writes: Object.values(window.writes),
      html: document.querySelector('main').outerHTML.slice(0, 200),
      came: window.events,
      frames: { count: window.until[0] - window.since[0], ms: window.until[1] - window.since[1] },
    }));
    assert.equal(text, TOKENS.join(''));
    const rate = frames.count > 0 ? `, at ${Math.round((1000 * frames.count) / frames.ms)} frames a second` : '';
    t.diagnostic(`${came.length} events, ${writes.length} frames with a write of ${frames.count}${rate}`);
    assert(!isSlow || writes.length > 10, `${writes}`);
    // What came last is written when the run ends, and not in a frame of its own.
    assert(writes.slice(0, -1).every((count) => count === 1) && writes.at(-1) <= 2, `${writes}`);
    assert.match(html, /^<main data-stream-connection="ended" data-stream-status="completed"><pre data-stream="a">0/);
    // Each event once, whether by itself or with others.
    assert.deepEqual(came.slice(1).filter(([first], nth) => first !== came[nth][1] + 1), []);
    assert.equal(came.at(-1)[1] - came[0][0] + 1, events.length);
    assert(intervalMs ? came.length < events.length / 2 : came.length === events.length, `${came.length}`);
  });
}

test('a page goes on where it was when the host is killed and comes back', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const run = await set.host.client.start('demo/probe', { do: 'work', until_stop: true, ms: 20, burst: 2, save: true });
  const page = await set.open(`<main data-stream-url="${set.address(run)}"><div data-stream-events="step begin"></div></main>`);
  const attempt = (number) => page.waitForFunction((begin) => document.body.textContent.includes(begin), `{"attempt":${number},"from"`);
  const more = async () => {
    const before = await page.locator('.stream-line').count();
    await page.waitForFunction((count) => document.querySelectorAll('.stream-line').length > count, before + 20);
  };
  for (const number of [1, 2]) {
    await attempt(number);
    await more();
    await set.host.kill();
    await page.waitForSelector('main[data-stream-connection=waiting]', { state: 'attached' });
    await set.host.start();
  }
  await attempt(3);
  await more();
  await run.setParameter('stop', true);
  await ended(page);
  const shown = await page.$$eval('.stream-line', (lines) => lines.map((line) => line.textContent));
  const said = (await all(run.follow())).filter(({ type }) => type === 'step' || type === 'begin');
  assert.deepEqual(shown, said.map(({ data }) => JSON.stringify(data)));
  assert.equal(said.filter(({ type }) => type === 'begin').length, 3);
});

test('a page that names nothing but a run asks the host that served the module', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const front = await serveFront(t, set.host);
  await set.host.client.start('demo/probe', { do: 'send', events: [view({ op: 'text', target: 'a', text: 'from there' })] }, { id: 'named' });
  const page = await set.open('<main data-stream-run="named"><p data-stream="a"></p></main>', `${front.url}/streamtask.js`);
  await ended(page, 'main[data-stream-status=completed]');
  assert.equal(await page.textContent('p'), 'from there');
});

test('two runs on one page keep to their own elements', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const start = (mark) => {
    const events = Array.from({ length: 200 }, () => ({ op: 'text', target: 'a', text: mark }));
    return set.host.client.start('demo/probe', { do: 'send', events: events.map(view) });
  };
  const [one, two] = [await start('1'), await start('2')];
  const part = (run) => `<section data-stream-url="${set.address(run)}"><p data-stream="a"></p></section>`;
  const page = await set.open(`${part(one)}${part(two)}<p data-stream="a" id="else"></p>`);
  await ended(page, 'section:nth-of-type(1)[data-stream-status]');
  await ended(page, 'section:nth-of-type(2)[data-stream-status]');
  const texts = await page.$$eval('p', (list) => list.map((p) => p.textContent));
  assert.deepEqual(texts, ['1'.repeat(200), '2'.repeat(200), '']);
});

test('log lines, progress and buttons need no script of the page', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const run = await set.host.client.start('demo/probe', { do: 'until-cancelled' });
  const page = await set.open(
    `<main data-stream-url="${set.address(run)}"><button data-stream-action="cancel">Stop</button>` +
      '<div data-stream-events="waiting run.started"></div></main>',
  );
  await page.waitForSelector('.stream-line:nth-child(2)');
  await page.click('button');
  await ended(page, 'main[data-stream-status=cancelled]');

  const events = [
    { type: 'progress', data: '{"id":"a","done":1,"total":2,"message":"A"}' },
    { type: 'progress', data: '{"id":"b","percent":0}' },
    ...Array.from({ length: 30 }, (_, n) => ({ type: 'log', data: JSON.stringify({ message: `<i>${n}`, level: 'warn' }) })),
  ];
  const other = await set.host.client.start('demo/probe', { do: 'send', events });
  const second = await set.open(
    `<main data-stream-url="${set.address(other)}"><progress data-stream-progress></progress><p data-stream-progress="a"></p>` +
      '<div data-stream-events="log output" data-stream-limit="3"></div></main>',
  );
  await ended(second);
  assert.deepEqual(await second.$eval('main', (main) => [...main.children].map((child) => child.value ?? child.innerHTML)), [
    1,
    '100 % A',
    [27, 28, 29].map((n) => `<div class="stream-line" data-level="warn">&lt;i&gt;${n}</div>`).join(''),
  ]);
});

test('what a run leaves unfinished is finished by its end', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const text = { op: 'text', target: 'a', text: 'x' };
  const run = await set.host.client.start('demo/probe', { do: 'send', events: [view(text)] });
  const page = await set.open(`<main data-stream-url="${set.address(run)}"><p data-stream="a"></p></main>`);
  await ended(page);
  assert.equal(await page.$eval('main', (main) => main.innerHTML), '<p data-stream="a">x</p>');
});

test('after the sleep of a laptop, and on another network, it connects again', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const run = await set.host.client.start('demo/probe', { do: 'until-parameter', name: 'stop' });
  const page = await set.open('<main><div data-stream-events="run.started run.completed"></div></main>');
  await page.evaluate(
    async ({ url, id }) => {
      const { Host, connect } = await import('/streamtask.js');
      window.states = [];
      connect({ root: document.querySelector('main'), run: id, host: new Host(url), retryMs: 1, onState: ({ state }) => states.push(state) });
    },
    { url: set.host.client.url.href, id: run.id },
  );
  const opened = (times) => page.waitForFunction((times) => states.filter((state) => state === 'open').length === times, times);
  await opened(1);
  await page.evaluate(() => {
    const now = Date.now;
    Date.now = () => now() + 3_600_000;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await opened(2);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await opened(3);
  await run.setParameter('stop', 1);
  await ended(page);
  const lines = await page.$$eval('.stream-line', (list) => list.length);
  assert.equal(lines, 2);
  assert.equal((await page.evaluate(() => states)).at(-1), 'ended');
});

test('a run that is not there is told', async (t) => {
  const set = await setUp(t);
  if (!set) return;
  const page = await set.open(`<main data-stream-url="${new URL('/stream/demo/probe/none', set.host.client.url)}"></main>`);
  await ended(page, 'main[data-stream-connection=failed]');
});
