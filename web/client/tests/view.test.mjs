// The view layer in a real browser, without a host: updates go in, the page is looked at.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { servePages, startBrowser } from './harness.mjs';

const PAGE = `<!doctype html><meta charset="utf-8"><body></body>
<script type="module" nonce="test">
import * as client from '/streamtask.js';
window.client = client;
</script>`;

/** A page with this body, and the client as `client`; undefined if the test was skipped. */
async function open(t, body) {
  const browser = await startBrowser(t);
  if (!browser) return undefined;
  const server = await servePages(t, { '/': PAGE.replace('<body>', `<body>${body}`) });
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => window.client !== undefined);
  return page;
}

/** Applies updates and writes them at once; returns the page's body. */
const show = (page, updates) =>
  page.evaluate((list) => {
    window.view ??= new client.View();
    for (const update of list) view.apply(update);
    view.flush();
    return document.body.innerHTML.replace(/<script[^]*/, '').trim();
  }, updates);

test('each update does what it is for', async (t) => {
  const page = await open(t, '<div data-stream="a">0</div><p dj-stream="b"></p><i data-stream="b"></i>');
  if (!page) return;
  const within = async (updates) => {
    await show(page, updates);
    return page.evaluate(() => document.querySelector('[data-stream=a]').innerHTML);
  };
  const a = (op, more) => ({ op, target: 'a', ...more });
  assert.equal(await within([a('text', { text: '1 <b>&' })]), '01 &lt;b&gt;&amp;');
  assert.equal(await within([a('text', { text: '-', mode: 'prepend' }), a('text', { text: '+', mode: 'prepend' })]), '+-01 &lt;b&gt;&amp;');
  assert.equal(await within([a('text', { text: 'x' }), a('text', { text: 'y', mode: 'replace' }), a('text', { text: 'z' })]), 'yz');
  assert.equal(await within([a('html', { html: '<p id="one">1</p>' })]), '<p id="user-content-one">1</p>');
  assert.equal(await within([a('insert', { html: '<p id="two">2</p>' }), a('insert', { html: '<p>0</p>', at: 'prepend' })]), '<p>0</p><p id="user-content-one">1</p><p id="user-content-two">2</p>');
  assert.equal(await within([a('remove', { selector: '#one' })]), '<p>0</p><p id="user-content-two">2</p>');
  assert.equal(await within([a('insert', { html: '<p>3</p><p>4' }), a('prune', { limit: 2 })]), '<p>3</p><p>4</p>');
  assert.equal(await within([a('prune', { limit: 1, edge: 'bottom' })]), '<p>3</p>');
  assert.equal(await within([a('text', { text: '5' }), a('insert', { html: '<p>6</p>' }), a('text', { text: '7' })]), '<p>3</p>5<p>6</p>7');
  // Of all with the name, in either way; and a selector that is none, or a target, or an update, stops nothing.
  const odd = [{ op: 'remove', target: 'b', selector: '[[' }, { op: 'text', target: 'none"]', text: 'x' }, { op: 'text' }, null, 'x', { op: 'fly', target: 'b' }];
  const body = await show(page, [...odd, { op: 'text', target: 'b', text: 'B' }]);
  assert.match(body, /<p dj-stream="b"[^>]*>B<\/p><i data-stream="b"[^>]*>B<\/i>/);
});

test('a frame does what is in it, in order', async (t) => {
  const page = await open(t, '<p data-stream="a"></p><p data-stream="b"></p>');
  if (!page) return;
  const text = (target, text, mode) => ({ op: 'text', target, text, mode });
  const frame = (...ops) => ({ op: 'frame', ops });
  const updates = [
    text('a', '1'),
    frame(text('a', '2'), { op: 'html', target: 'b', html: '<b>x</b>' }, text('a', '3'), null, 'x', frame(text('a', '4'), frame()), text('b', 'y'), { op: 'done', target: 'a' }),
    frame(text('a', '5', 'prepend')),
    { op: 'frame' },
    { op: 'frame', ops: 'x' },
  ];
  const body = await show(page, updates);
  assert.match(body, /^<p data-stream="a"[^>]*>51234<\/p><p data-stream="b"[^>]*><b>x<\/b>y<\/p>$/);
  // Frames in frames, as deep as a task likes.
  const depth = await page.evaluate(() => {
    let update = { op: 'text', target: 'a', text: 'deep' };
    for (let level = 0; level < 100_000; level += 1) update = { op: 'frame', ops: [update] };
    view.apply(update);
    view.flush();
    return document.querySelector('p').textContent;
  });
  assert.equal(depth, '51234deep');
});

test('what is joined comes to the same as one after the other', async (t) => {
  const page = await open(t, '<div id="joined"></div><div id="single"></div>');
  if (!page) return;
  const difference = await page.evaluate(() => {
    let seed = 1;
    const below = (n) => (seed = (seed * 16807) % 2147483647) % n;
    const html = ['<p>x</p>', '<p id="k">y</p>', 'z', '<i data-stream="c"></i>', '<b data-stream="b"></b>', '<p>open'];
    const make = (n) => {
      const target = 'abc'[below(3)];
      const kinds = [
        { op: 'text', target, text: String(n) },
        { op: 'text', target, text: String(n), mode: ['append', 'prepend', 'replace'][below(3)] },
        { op: 'html', target, html: html[below(6)] },
        { op: 'insert', target, html: html[below(6)], at: ['append', 'prepend'][below(2)] },
        { op: 'insert', target, html: html[below(6)] },
        { op: 'prune', target, limit: below(4), edge: ['top', 'bottom'][below(2)] },
        { op: 'prune', target, limit: 3 },
        { op: 'remove', target, selector: '#k' },
        { op: ['start', 'done', 'error'][below(3)], target, message: 'm' },
      ];
      return kinds[below(kinds.length)];
    };
    for (let round = 0; round < 4000; round += 1) {
      const updates = Array.from({ length: 2 + below(12) }, (_, n) => make(n));
      const shown = ['joined', 'single'].map((id) => {
        const root = document.getElementById(id);
        root.innerHTML = '<div data-stream="a"></div><div data-stream="b"><p>1</p></div>';
        const view = new client.View(root);
        for (const update of updates) {
          view.apply(update);
          if (id === 'single') view.flush();
        }
        view.flush();
        root.normalize();
        return root.innerHTML;
      });
      if (shown[0] !== shown[1]) return { round, updates, shown };
    }
    return undefined;
  });
  assert.equal(difference, undefined, JSON.stringify(difference, undefined, 1));
});

test('a target is written to once a frame, however many updates come', async (t) => {
  const page = await open(t, '<pre data-stream="a"></pre><ul data-stream="log"></ul>');
  if (!page) return;
  const counted = await page.evaluate(async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const [text, log] = document.querySelectorAll('[data-stream]');
    text.textContent = '.';
    let writes = { text: 0, log: 0 };
    new MutationObserver((list) => (writes.text += list.length)).observe(text, { childList: true, characterData: true, subtree: true });
    new MutationObserver((list) => (writes.log += list.filter((one) => one.addedNodes.length).length)).observe(log, { childList: true });
    const view = new client.View();
    for (let n = 0; n < 1000; n += 1) {
      view.apply({ op: 'text', target: 'a', text: 'x' });
      view.apply({ op: 'insert', target: 'log', html: `<li>${n}</li>` });
      view.apply({ op: 'prune', target: 'log', limit: 10 });
    }
    const before = text.textContent.length;
    await frame();
    await frame();
    return { before, writes, length: text.textContent.length, items: log.textContent };
  });
  assert.deepEqual(counted, { before: 1, writes: { text: 1, log: 1 }, length: 1001, items: '990991992993994995996997998999' });
});

test('marks, classes and events tell how a target is', async (t) => {
  const page = await open(t, '<div data-stream="a" class="box" data-loading-class="is-streaming busy"></div>');
  if (!page) return;
  await page.evaluate(() => {
    window.heard = [];
    for (const name of ['start', 'text', 'update', 'remove', 'error', 'done', 'state']) {
      document.addEventListener(`stream:${name}`, ({ detail }) => heard.push([name, detail]));
    }
  });
  const a = (op, more) => ({ op, target: 'a', ...more });
  assert.equal(
    await show(page, [a('start'), a('text', { text: '<' })]),
    '<div data-stream="a" class="box is-streaming busy" data-loading-class="is-streaming busy" data-stream-active="true" aria-busy="true">&lt;</div>',
  );
  assert.equal(
    await show(page, [a('error', { message: '<b>no' })]),
    '<div data-stream="a" class="box" data-loading-class="is-streaming busy" data-stream-error="true">&lt;' +
      '<div class="stream-error dj-stream-error" role="alert">&lt;b&gt;no</div></div>',
  );
  const body = await show(page, [a('start'), a('insert', { html: '<p>' }), a('remove', { selector: 'p' }), a('done'), { op: 'state', state: 1 }, { op: 'state', state: [2] }]);
  assert.equal(body, '<div data-stream="a" class="box" data-loading-class="is-streaming busy">&lt;</div>');
  assert.deepEqual(await page.evaluate(() => heard), [
    ['start', { stream: 'a' }],
    ['text', { stream: 'a', text: '<', mode: 'append' }],
    ['error', { stream: 'a', error: '<b>no' }],
    ['start', { stream: 'a' }],
    ['update', { stream: 'a', op: 'append' }],
    ['remove', { stream: 'a' }],
    ['done', { stream: 'a' }],
    ['state', { stream: '', state: [2] }],
  ]);
});

test('an element can say its own mode', async (t) => {
  const page = await open(t, '<p data-stream="a" data-stream-mode="replace"></p><p data-stream="a" dj-stream-mode="prepend"></p>');
  if (!page) return;
  await show(page, [1, 2, 3].map((n) => ({ op: 'text', target: 'a', text: String(n) })));
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('p')].map((p) => p.textContent)), ['3', '321']);
});

/** Html that wants to do something, and what may be left of it. */
const HOSTILE = [
  ['<script>hit()</script>a', 'a'],
  ['<img src=x onerror=hit()>', null],
  ['<svg onload=hit()><script>hit()</script></svg>', ''],
  ['<svg><a href="javascript:hit()"><text>x</text></a></svg>', ''],
  ['<math><mtext><table><mglyph><style><img src=x onerror=hit()>', null],
  ['<noscript><p title="</noscript><img src=x onerror=hit()>">', null],
  ['<form><math><mtext></form><form><mglyph><style></math><img src onerror=hit()>', null],
  ['<template><img src=x onerror=hit()></template>', ''],
  ['<iframe srcdoc="<script>parent.hit()</script>"></iframe>', ''],
  ['<iframe src="javascript:parent.hit()"></iframe>', ''],
  ['<object data="javascript:hit()"></object><embed src="javascript:hit()">', ''],
  ['<a href="javascript:hit()">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href=" &#1;java&#x0A;script&colon;hit()">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href="JaVaScRiPt:hit()">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href="data:text/html,<script>hit()</script>">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href="vbscript:x" ping="http://evil.invalid/">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href="https://example.org/?a=1&amp;b" target="_top">x</a>', '<a href="https://example.org/?a=1&amp;b" rel="noopener noreferrer nofollow">x</a>'],
  ['<img src="javascript:hit()"><img src="data:image/svg+xml,<svg onload=hit()>">', '<img><img>'],
  ['<img src="data:image/png;base64,AAAA" alt="x" srcset="http://evil.invalid/ 1x">', '<img src="data:image/png;base64,AAAA" alt="x">'],
  ['<div style="position:fixed;background:url(http://evil.invalid/)">x</div>', '<div>x</div>'],
  ['<style>*{display:none}</style><link rel=stylesheet href=http://evil.invalid/><meta http-equiv=refresh content=0>', ''],
  ['<base href="http://evil.invalid/"><p>x', '<p>x</p>'],
  ['<form action="http://evil.invalid/"><input name=p><button formaction="javascript:hit()">go</button></form>', 'go'],
  ['<p id="location" name="cookie">x</p><p id=body>y</p><p id="item-1">z</p>', '<p id="user-content-location">x</p><p id="user-content-body">y</p><p id="user-content-item-1">z</p>'],
  ['<div data-stream-run="other" data-stream-url="x" data-stream-action="cancel" data-x="y" data-stream="b">x</div>', '<div data-stream="b">x</div>'],
  ['<p onclick="hit()" ONMOUSEOVER=hit() aria-label="a" class="c" x-data="hit()" @click="hit()">x</p>', '<p aria-label="a" class="user-content-c">x</p>'],
  ['<details ontoggle=hit() open>x</details><video><source onerror=hit()></video><audio src onerror=hit()>', '<details open="">x</details>'],
  ['<marquee onstart=hit()>x</marquee><custom-element onclick=hit()>y</custom-element>', 'xy'],
  ['<xmp><img src=x onerror=hit()></xmp><plaintext><img src=x onerror=hit()>', ''],
  ['<!-- --><![CDATA[<img src=x onerror=hit()>]]><?x <img src=x onerror=hit()>', null],
  // Of DOMPurify's suite: what has got through one sanitiser or another.
  ['<form id=f><input name=attributes><input name=parentNode><input name=nodeName>123</form>', ''],
  ['<form onsubmit=hit()><input name=removeAttributeNode><p onclick=hit()>x</p></form>', ''],
  ['<img src=x name=createElement><img src=y id=createElement>', null],
  ['<image name=body><image name=adoptNode>x<image name=firstElementChild><svg onload=hit()>', null],
  ['<listing>&lt;img onerror="hit();//" src=x&gt;<t t></listing>', '&lt;img onerror="hit();//" src=x&gt;'],
  ["<img src=x id/=' onerror=hit()//'>", null],
  ['<textarea>x</textarea><!--</textarea><img src=x onerror=hit()>-->', ''],
  ['<b><noscript><!-- </noscript><img src=x onerror=hit() --></noscript>', null],
  ['<b><noscript><a alt="</noscript><img src=x onerror=hit()>"></noscript>', null],
  ['<template><s><template><s><img src=x onerror=hit()>x</s></template></s></template>', ''],
  ['<a href="\u0001java\u0003script:hit()">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'],
  ['<a href="\u2028javascript:hit()">x</a><a href="&#xA0javascript:hit()">y</a>', null],
  ['<option><style></option></select><b><img src=x onerror=hit()></style></option>', null],
  ['<b><style><style/><img src=x onerror=hit()>', null],
  ['<svg></p><style><a id="</style><img src=1 onerror=hit()>">', null],
  ['<svg><style><!--</style><img src=x onerror=hit()>-->', null],
  ['<math><annotation-xml encoding="text/html"><style><img src=x onerror=hit()></style></annotation-xml></math>', null],
  ['<math><mi><b><style><!--</style><b title="--&gt;&lt;img src=x onerror=hit()&gt;">', null],
  ['<svg><foreignobject><p><style><!--</style><img src=x onerror=hit()>', null],
  ['<svg><animate xlink:href=#x attributeName=href values="javascript:hit()"/><a id=x><text>x</text></a>', ''],
  ['<svg><use href="data:image/svg+xml,<svg id=x onload=hit()></svg>#x"></svg>', ''],
  ['<isindex src="javascript:" onmouseover="hit()" label="x">', null],
  ['<div style="content:url(data:image/svg+xml,%3Csvg/%3E)" onload=hit()>x</div>', '<div>x</div>'],
  ['<table background="javascript:hit()"><tr><td background="http://evil.invalid/">x', '<table><tbody><tr><td>x</td></tr></tbody></table>'],
  ['<b slot="z" nonce="n" part="p" itemprop="i">x</b>', '<b>x</b>'],
  ['<p><template shadowrootmode=open><img src=x onerror=hit()></template>x</p>', '<p>x</p>'],
  ['<div popover id=p autofocus tabindex=1 contenteditable onfocus=hit()>x</div>', '<div id="user-content-p">x</div>'],
  ['<p data-loading-class="page-part" aria-labelledby="title a" class=" a  b ">x</p>', '<p data-loading-class="user-content-page-part" aria-labelledby="user-content-title user-content-a" class="user-content-a  user-content-b">x</p>'],
  ['<a href="#part">x</a><p id="user-content-part">y</p>', '<a href="#user-content-part" rel="noopener noreferrer nofollow">x</a><p id="user-content-part">y</p>'],
  ['<p data-stream="log:1" title="javascript:x">x</p>', '<p data-stream="log:1" title="javascript:x">x</p>'],
  ['<img src="http://evil.invalid/i.png"><img src="//evil.invalid/i.png"><img srcset="http://evil.invalid/ 1x">', '<img><img><img>'],
  ['<img src="/own.png"><img src="https:evil.invalid/i.png">', null],
  ['<picture><source srcset="http://evil.invalid/"><img src="http://evil.invalid/"></picture>', ''],
  ['<input type=image src="http://evil.invalid/"><video poster="http://evil.invalid/"></video><p background="http://evil.invalid/">', '<p></p>'],
  ['<p>'.repeat(10) + 'x', null],
  ['<div>'.repeat(5000) + '<img src=x onerror=hit()>', null],
];

test('html that wants to do something does nothing', async (t) => {
  const page = await open(t, '<div data-stream="a"></div>');
  if (!page) return;
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  for (const [html, expected] of HOSTILE) {
    for (const op of ['html', 'insert']) {
      const left = await page.evaluate(
        async ({ html, op }) => {
          window.hit ??= () => (window.wasHit = true);
          const element = document.querySelector('[data-stream=a]');
          element.replaceChildren();
          const view = new client.View();
          view.apply({ op, target: 'a', html });
          view.flush();
          const found = [...element.querySelectorAll('*')];
          const bad = found.flatMap((one) => [...one.attributes].filter(({ name }) => /^on|^style$|^srcset$/.test(name)));
          const odd = found.filter((one) => /^(script|style|iframe|object|embed|svg|math|form|input|link|meta|base|template)$/i.test(one.tagName));
          for (const link of element.querySelectorAll('a')) if (!/^https?:/.test(link.href)) link.click();
          await new Promise((resolve) => setTimeout(resolve, 20));
          return { html: element.innerHTML, bad: bad.length + odd.length, wasHit: window.wasHit ?? false };
        },
        { html, op },
      );
      assert.equal(left.wasHit, false, html);
      assert.equal(left.bad, 0, `${html} left ${left.html}`);
      if (expected !== null) assert.equal(left.html, expected);
    }
  }
  assert.deepEqual(asked.filter((url) => url.includes('evil.invalid')), []);
});

test('a page says which images load, and whether names are the own ones of a task', async (t) => {
  const page = await open(t, '<div data-stream="a"></div>');
  if (!page) return;
  const html = '<img src="https://other.invalid/i"><img src="/own"><img src="data:image/gif;base64,AA"><img src="data:image/svg+xml;base64,AA">';
  const sources = (options) =>
    page.evaluate(([html, options]) => [...client.sanitize(html, options).querySelectorAll('img')].map((one) => one.getAttribute('src')), [html, options]);
  assert.deepEqual(await sources(), [null, '/own', 'data:image/gif;base64,AA', null]);
  assert.deepEqual(await sources({ images: 'data' }), [null, null, 'data:image/gif;base64,AA', null]);
  assert.deepEqual(await sources({ images: 'any' }), ['https://other.invalid/i', '/own', 'data:image/gif;base64,AA', null]);
  const shown = await page.evaluate(() => {
    const element = document.querySelector('[data-stream=a]');
    return ['', 'task-'].map((prefix) => {
      const view = new client.View(document, { html: { prefix } });
      view.apply({ op: 'html', target: 'a', html: '<p id="one" class="big red">1</p><p id="location">2</p><p class="gone">3</p>' });
      view.apply({ op: 'remove', target: 'a', selector: 'p:not(#one).gone' });
      view.flush();
      return element.innerHTML;
    });
  });
  assert.deepEqual(shown, [
    '<p id="one" class="big red">1</p><p>2</p>',
    '<p id="task-one" class="task-big task-red">1</p><p id="task-location">2</p>',
  ]);
});

test('a task removes by its own names, and by those of the page', async (t) => {
  const page = await open(t, '<div data-stream="a"></div>');
  if (!page) return;
  const left = await page.evaluate(() => {
    const element = document.querySelector('[data-stream=a]');
    const view = new client.View();
    const parts = '<i id="a.b"></i><i class="x"></i><i class="x y"></i><i title="#t .x"></i><b id="last"></b>';
    return ['#a\\.b', '.x:not(.y)', 'i.x.y', '[title="#t .x"]', '#own', '.x, #last', 'i:nth-child(2)'].map((selector) => {
      view.apply({ op: 'html', target: 'a', html: parts });
      view.flush();
      element.insertAdjacentHTML('beforeend', '<u id="own"></u>');
      view.apply({ op: 'remove', target: 'a', selector });
      view.flush();
      return [...element.children].map((one) => one.localName[0] + (one.id || one.className || one.title).replaceAll('user-content-', '')).join(' ');
    });
  });
  assert.deepEqual(left, [
    'ix ix y i#t .x blast uown',
    'ia.b ix y i#t .x blast uown',
    'ia.b ix i#t .x blast uown',
    'ia.b ix ix y blast uown',
    'ia.b ix ix y i#t .x blast',
    'ia.b i#t .x uown',
    'ia.b ix y i#t .x blast uown',
  ]);
});

test('html is shown also where a page demands trusted types', async (t) => {
  const browser = await startBrowser(t);
  if (!browser) return;
  const page = await browser.newPage();
  const server = await servePages(t, { '/': PAGE });
  await page.route(server.url + '/', async (route) => {
    const response = await route.fetch();
    const policy = `${response.headers()['content-security-policy']}; require-trusted-types-for 'script'; trusted-types dompurify`;
    await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': policy } });
  });
  await page.goto(server.url);
  await page.waitForFunction(() => window.client !== undefined);
  assert.equal(await page.evaluate(() => client.sanitize('<b onclick=x>a').firstChild.outerHTML), '<b>a</b>');
  await assert.rejects(page.evaluate(() => void (document.body.innerHTML = 'x')), /TrustedHTML/);
});

test('a page can have its own rules for html', async (t) => {
  const page = await open(t, '<div data-stream="a"></div>');
  if (!page) return;
  const html = await page.evaluate(() => {
    const view = new client.View(document, {
      sanitize: (html) => {
        const fragment = document.createDocumentFragment();
        fragment.append(html.toUpperCase());
        return fragment;
      },
    });
    view.apply({ op: 'html', target: 'a', html: '<b>x' });
    view.flush();
    return document.querySelector('[data-stream=a]').innerHTML;
  });
  assert.equal(html, '&lt;B&gt;X');
});

const MARKDOWN = `# A *title* #

Some **bold**, *italic*, ***both***, \`code <b>\`, ~~old~~ and \\*no\\*, snake_case_name.
Next line  
broken.

- one
- two
  - inner

  more
3. three
4) four

> quote
> **again**

\`\`\`js
let x = "<script>";

- no list
\`\`\`

| a | b |
|---|:-:|
| 1 | *2* |

[link](https://example.org/a_(b) "t") <https://example.org/x> see https://example.org/y, ok.
[bad](javascript:hit()) ![img](https://example.org/i.png) <img src=x onerror=hit()> [a **b** https://c.d](/e)

---
end **open`;

const RENDERED =
  '<h1>A <em>title</em></h1>' +
  '<p>Some <strong>bold</strong>, <em>italic</em>, <em><strong>both</strong></em>, <code>code &lt;b&gt;</code>, <s>old</s> and *no*, snake_case_name.\nNext line<br>broken.</p>' +
  '<ul><li>one</li><li>two<ul><li>inner</li></ul><p>more</p></li></ul>' +
  // Another character after the number is another list, as CommonMark has it.
  '<ol start="3"><li>three</li></ol><ol start="4"><li>four</li></ol>' +
  '<blockquote><p>quote\n<strong>again</strong></p></blockquote>' +
  '<pre><code class="language-js">let x = "&lt;script&gt;";\n\n- no list</code></pre>' +
  '<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td><em>2</em></td></tr></tbody></table>' +
  '<p>LINK(https://example.org/a_(b))link</a> LINK(https://example.org/x)https://example.org/x</a> see LINK(https://example.org/y)https://example.org/y</a>, ok.\n' +
  '[bad](javascript:hit()) LINK(https://example.org/i.png)img</a> &lt;img src=x onerror=hit()&gt; LINK(/e)a <strong>b</strong> https://c.d</a></p>' +
  '<hr><p>end **open</p>';

test('markdown is shown as it comes, whatever the pieces, and html in it is text', async (t) => {
  const page = await open(t, '<div data-stream="a" data-stream-format="markdown"></div>');
  if (!page) return;
  const expected = RENDERED.replaceAll(/LINK\((.*?)\)(?=[a-z])/g, '<a href="$1" rel="noopener noreferrer nofollow">');
  for (const size of [1, 3, 7, 50, 10_000]) {
    const html = await page.evaluate(
      ({ text, size }) => {
        const element = document.querySelector('[data-stream=a]');
        const view = new client.View();
        view.apply({ op: 'text', target: 'a', text: '', mode: 'replace' });
        for (let at = 0; at < text.length; at += size) {
          view.apply({ op: 'text', target: 'a', text: text.slice(at, at + size) });
          view.flush();
        }
        element.normalize();
        return element.innerHTML;
      },
      { text: MARKDOWN, size },
    );
    assert.equal(html, expected, `in pieces of ${size}`);
  }
});

// If its time grew with the square of its length, this would take hours.
test('hostile markdown takes no longer than other', { timeout: 120_000 }, async (t) => {
  const page = await open(t, '<div data-stream="a" data-stream-format="markdown"></div>');
  if (!page) return;
  for (const piece of ['*a ', '**', '[', '[a](', '`', '_a', '![', '<http://', '> ', '- ', '  - ', '1. ', '|a', '\\', '~~', 'https://a.', '[a](b "', '((', '***a']) {
    const text = piece.repeat(200_000 / piece.length);
    const shown = await page.evaluate((text) => {
      const view = new client.View();
      view.apply({ op: 'text', target: 'a', text, mode: 'replace' });
      view.flush();
      return document.querySelector('[data-stream=a]').childNodes.length;
    }, text);
    assert(shown > 0, piece);
  }
});

test('markdown that is behind catches up by itself, and when its target is done', async (t) => {
  const page = await open(t, '<div data-stream="a" data-stream-format="markdown"></div>');
  if (!page) return;
  const shown = await page.evaluate(async () => {
    const element = document.querySelector('[data-stream=a]');
    const view = new client.View();
    const say = (text, mode) => {
      view.apply({ op: 'text', target: 'a', text, mode });
      view.flush();
      return element.querySelectorAll('strong').length;
    };
    const seen = [say('word '.repeat(200), 'replace'), say('**one** ')];
    while (element.querySelectorAll('strong').length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(say('**two** '));
    view.apply({ op: 'done', target: 'a' });
    view.flush();
    seen.push(element.querySelectorAll('strong').length, say('**three**'));
    view.finish();
    return [...seen, element.querySelectorAll('strong').length];
  });
  assert.deepEqual(shown, [0, 0, 1, 2, 2, 3]);
});

test('the end stays in sight only for who is there', async (t) => {
  const page = await open(
    t,
    `<div id="box"><div data-stream="a"></div></div><div id="still" data-stream-scroll="none"><div data-stream="a"></div></div>`,
  );
  if (!page) return;
  const places = await page.evaluate(async () => {
    const view = new client.View();
    const boxes = ['box', 'still'].map((id) => document.getElementById(id));
    for (const box of boxes) Object.assign(box.style, { height: '200px', overflowY: 'auto', scrollBehavior: 'smooth', lineHeight: '20px' });
    const add = (lines) => {
      for (let n = 0; n < lines; n += 1) view.apply({ op: 'insert', target: 'a', html: '<p>line</p>' });
      view.flush();
    };
    const rest = (box) => Math.round(box.scrollHeight - box.clientHeight - box.scrollTop);
    const seen = [];
    const look = () => seen.push(boxes.map((box) => rest(box) <= 1));
    add(100);
    look();
    add(100);
    look();
    // The reader looks at something further up.
    boxes[0].scrollTo({ top: boxes[0].scrollTop - 300, behavior: 'instant' });
    const place = boxes[0].scrollTop;
    add(100);
    look();
    seen.push(boxes[0].scrollTop === place);
    boxes[0].scrollTo({ top: boxes[0].scrollHeight - boxes[0].clientHeight - 50, behavior: 'instant' });
    add(100);
    look();
    return seen;
  });
  assert.deepEqual(places, [[true, false], [true, false], [false, false], true, [true, false]]);
});
