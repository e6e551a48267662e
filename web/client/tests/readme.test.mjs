// The pages of the README, as they stand there, but for addresses and ids.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { servePages, startBrowser, startHost } from './harness.mjs';

const README = await readFile(new URL('../README.md', import.meta.url), 'utf8');

/** A page of the README, on a host with these guests, for a run of `demo/probe`; undefined if the test was skipped. */
async function open(t, title, guests, input) {
  const [, html] = new RegExp(`### ${title}\\n[^]*?\`\`\`html\\n([^]*?)\`\`\``).exec(README);
  const pages = {};
  const server = await servePages(t, pages);
  const host = await startHost(t, guests, ['--cors-origin', server.url]);
  const browser = host && (await startBrowser(t));
  if (!browser) return undefined;
  const run = input && (await host.client.start('demo/probe', input, { id: 'RUN' }));
  // The client is from the page's server here, which is not the host.
  pages['/'] = `<!doctype html><meta charset="utf-8">${html}`
    .replace(/<(script|style)/g, '<$1 nonce="test"')
    .replaceAll('http://127.0.0.1:8080/streamtask.js', '/streamtask.js')
    .replaceAll('http://127.0.0.1:8080', host.client.url.origin)
    .replaceAll('data-stream-run="RUN"', `data-stream-url="${host.client.url.origin}/stream/demo/probe/RUN"`);
  const page = await browser.newPage();
  page.on('pageerror', (error) => assert.fail(error));
  return { page, run, load: () => page.goto(server.url) };
}

const event = (type, data) => ({ type, data: JSON.stringify(data) });

test('the chat page streams an answer', async (t) => {
  const set = await open(t, 'Chat', ['probe:chat']);
  if (!set) return;
  const { page, load } = set;
  const view = (op, more) => event('view', { op, target: 'answer', ...more });
  const events = [view('start'), ...['**Hel', 'lo**, ', 'Ada'].map((text) => view('text', { text })), view('done')];
  const asked = [];
  await page.route('**/api/tasks/demo/chat/runs', (route) => {
    asked.push(route.request().postDataJSON());
    return route.continue({ postData: JSON.stringify({ do: 'send', events }) });
  });
  await load();
  for (const content of ['Hi', 'And?']) {
    await page.fill('input', content);
    // The page asks for the result at the end, and keeps it for the next question.
    const isResult = (response) => /\/api\/runs\/[^/?]+$/.test(response.url());
    const result = page.waitForResponse(isResult);
    await page.click('text=Send');
    await page.waitForSelector('section[data-stream-status=completed]:last-child', { state: 'attached' });
    await (await result).finished();
  }
  const answers = await page.$$eval('[data-stream=answer]', (list) => list.map((one) => [one.innerHTML, one.className]));
  assert.deepEqual(answers, Array(2).fill(['<p><strong>Hello</strong>, Ada</p>', '']));
  assert.deepEqual(asked[1].messages.map(({ role }) => role), ['user', 'assistant', 'user']);
});

test('the chat page streams 5,000 tokens, and not one is lost', async (t) => {
  const set = await open(t, 'Chat', ['probe:chat']);
  if (!set) return;
  const { page, load } = set;
  // Of markdown only what is text in it is compared: words, and marks that the text may have.
  const kinds = ['word ', '*bold* ', 'naïve ', '日本 ', '<b>tag</b> ', '👩‍👩‍👧 ', '2 < 3 & 4 > 1 ', 'snake_case_name '];
  const tokens = Array.from({ length: 5000 }, (_, n) => `${n}${n % 100 === 99 ? '\n\n' : ` ${kinds[n % kinds.length]}`}`);
  const view = (op, more) => event('view', { op, target: 'answer', ...more });
  const events = [view('start'), ...tokens.map((text) => view('text', { text })), view('done')];
  await page.route('**/api/tasks/demo/chat/runs', (route) => route.continue({ postData: JSON.stringify({ do: 'send', events }) }));
  await load();
  await page.fill('input', 'Hi');
  await page.click('text=Send');
  await page.waitForSelector('section[data-stream-status=completed]', { state: 'attached' });
  const shown = await page.$$eval('[data-stream=answer] p', (list) => list.map((one) => one.textContent));
  const said = tokens.join('').replaceAll('*bold*', 'bold').split('\n\n').filter(Boolean);
  assert.deepEqual(shown, said.map((paragraph) => paragraph.trim()));
});

test('the log page shows lines', async (t) => {
  const lines = Array.from({ length: 500 }, (_, n) => event('line', `line ${n}`));
  const events = [...lines, event('log', { message: 'bad', level: 'error' }), event('output', 'out')];
  const set = await open(t, 'Log tail', ['probe'], { do: 'send', events });
  if (!set) return;
  await set.load();
  await set.page.waitForSelector('main[data-stream-status=completed]');
  const { last, atEnd } = await set.page.$eval('pre', (pre) => ({
    last: [...pre.children].slice(-3).map((line) => line.textContent),
    atEnd: pre.scrollHeight - pre.clientHeight - pre.scrollTop < 2,
  }));
  assert.deepEqual([last, atEnd], [['line 499', 'bad', 'out'], true]);
});

test('the buttons of the progress page act', async (t) => {
  const set = await open(t, 'Progress', ['probe'], { do: 'work', until_stop: true, ms: 5, burst: 1 });
  if (!set) return;
  const { page, run, load } = set;
  await load();
  await page.waitForSelector('main[data-stream-connection=open]');
  const heard = (type) => page.evaluate((type) => new Promise((resolve) => {
    document.addEventListener('stream:event', ({ detail }) => detail.type === type && resolve());
  }), type);
  for (const [button, type] of [['Pause', 'run.paused'], ['Go on', 'run.resumed']]) {
    const came = heard(type);
    await page.click(`text=${button}`);
    await came;
  }
  await page.click('text=Stop');
  await page.waitForSelector('main[data-stream-status=cancelled]');
  await assert.rejects(run.result(), { status: 'cancelled' });
});

test('the progress page shows bars', async (t) => {
  const items = [{ id: 'read', done: 1, total: 2, message: 'Reading' }, { id: 'write', percent: 0, weight: 3 }];
  const set = await open(t, 'Progress', ['probe'], { do: 'send', events: items.map((item) => event('progress', item)) });
  if (!set) return;
  await set.load();
  await set.page.waitForSelector('main[data-stream-status=completed]');
  const shown = await set.page.$$eval('[data-stream-progress]', (list) => list.map((one) => one.value ?? one.textContent));
  assert.deepEqual(shown, [1, 1, '100 % Reading']);
});
