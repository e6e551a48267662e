// Markdown as it comes, without a browser: what is made of it, and how much work that is. Work is counted and not timed:
// characters that are parsed, and nodes and characters that are built, each in proportion to the text.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import MarkdownIt from 'markdown-it';

import { Markdown } from '../src/markdown.js';
import { FakeDocument, depthOf } from './document.mjs';

/** Characters that markdown-it was given. */
let parsed = 0;
for (const name of ['parse', 'parseInline']) {
  const prototype = Object.getPrototypeOf(new MarkdownIt());
  const original = prototype[name];
  prototype[name] = function (source, env) {
    parsed += source.length;
    return original.call(this, source, env);
  };
}

/** The text in an element, in pieces of these lengths. */
function write(text, sizeOf) {
  const page = new FakeDocument();
  const element = page.createElement('div');
  const markdown = new Markdown(element);
  parsed = 0;
  for (let at = 0, nth = 0; at < text.length; nth += 1) {
    const size = sizeOf(nth);
    markdown.append(text.slice(at, at + size));
    at += size;
  }
  markdown.catchUp();
  return { html: element.innerHTML, text: element.textContent, element, page, parsed };
}

const WHOLE = () => Infinity;

const LINES = [
  '', '', '', 'a', 'word *b* c', '**bold**', '- item', '- ', '-', '* star', '1. one', '2. two', '3) x', '10. ten', '+ plus',
  '> quote', '>', '> - q', '> > qq', '  - nested', '    - deep', '   - odd', '  para', '   three', '    four', '# head', '## h ##',
  '---', '***', '===', '```', '```js', '~~~', 'code()', '| a | b |', '|---|---|', '| 1 | 2 |', 'a|b', '-|-', '`x`', '[l](http://e.x/)',
  '![i](http://e.x/i)', 'http://e.x/y', '- [ ] t', '\tTab', '- a\tb', '-\ttab', '-   wide', '    in wide', '  > q in item', '  ```', '    ```',
  '> ```', '> code', '> | a | b |', '> |---|---|', '- | a | b |', '  |--|--|', '  | 1 | 2 |', 'x  ', 'x\\', '&amp;', '<b>', '_a', 'a_', '* * *',
  '- - x', '- > x', '1. - x',
];

test('in whatever pieces a text comes, it comes to the same', () => {
  let seed = 1;
  const below = (n) => (seed = (seed * 16807) % 2147483647) % n;
  for (let round = 0; round < 2000; round += 1) {
    const text = Array.from({ length: 2 + below(14) }, () => LINES[below(LINES.length)]).join(['\n', '\n', '\r\n'][below(3)]);
    const whole = write(text, WHOLE).html;
    for (const sizeOf of [() => 1, () => 3, () => 1 + below(9)]) assert.equal(write(text, sizeOf).html, whole, JSON.stringify(text));
  }
});

test('what is settled stays as it is, also within a block that goes on', () => {
  const page = new FakeDocument();
  const element = page.createElement('div');
  const markdown = new Markdown(element);
  markdown.append('# One\n\n- a\n- b\n  - c\n  - d\n  - e\n');
  const [heading, list] = element.children;
  const [a, b] = list.children;
  const [c] = b.children[1].children;
  const count = page.nodes;
  markdown.append('  - f');
  assert.deepEqual([element.children[0] === heading, element.children[1] === list, list.children[0] === a, list.children[1] === b], Array(4).fill(true));
  assert.equal(b.children[1].children[0], c);
  assert(page.nodes - count <= 6, 'only the last items are built again');
  for (const [start, more, path] of [
    ['| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n', '| 7 | 8 |\n', [0, 1, 0]],
    ['> a\n>\n> b\n>\n> c\n', '>\n> d', [0, 0]],
    ['```js\none\ntwo\n', 'three', [0, 0, 0]],
  ]) {
    const root = new FakeDocument().createElement('div');
    const other = new Markdown(root);
    const find = () => path.reduce((node, nth) => node.children[nth], root);
    other.append(start);
    const node = find();
    other.append(more);
    assert.equal(find(), node, start);
  }
});

test('what comes after a block was taken away begins anew', () => {
  for (const [start, more, html] of [
    ['- a\n- b\n- c\n', '- d', '<ul><li>b</li><li>c</li><li>d</li></ul>'],
    ['|a|\n|-|\n|1|\n|2|\n|3|\n', '|4|', '<table><thead><tr><th></th></tr></thead><tbody><tr><td>2</td></tr><tr><td>3</td></tr><tr><td>4</td></tr></tbody></table>'],
    ['```\na\nb\nc', '\nd', '<pre><code>c\nd</code></pre>'],
  ]) {
    const element = new FakeDocument().createElement('div');
    const markdown = new Markdown(element);
    markdown.append(start);
    element.children[0].remove();
    markdown.append(more);
    assert.equal(element.innerHTML, html);
  }
});

const LIMIT = 64 << 10;
const fill = (piece, length = LIMIT) => piece.repeat(Math.ceil(length / piece.length)).slice(0, length);

/** Harmless texts, each one block without an end. */
const ENDLESS = {
  list: fill('- an item of a list\n'),
  'numbered list': fill('1. a\n'),
  'nested list': fill('- a\n  - b\n'),
  'list in a list': `- a\n${fill('  - in it\n')}`,
  'paragraphs of an item': `- a\n\n${fill('  text\n\n')}`,
  table: `|a|b|\n|-|-|\n${fill('|1|2|\n')}`,
  quote: fill('> a line of it\n'),
  'paragraphs of a quote': fill('> a\n>\n'),
  'list in a quote': fill('> - item\n'),
  paragraph: fill('word and more '),
  'paragraph of lines': fill('word and more\n'),
  'paragraph without spaces': fill('漢字'),
  paragraphs: fill('some words.\n\n'),
  code: `\`\`\`js\n${fill('let x = 1; // more\n')}`,
  'code of one line': `\`\`\`\n${fill('abc def ')}`,
  'code of an item': `- a\n\n  \`\`\`\n${fill('  code\n')}`,
  headings: fill('# h\n'),
  'empty lines': fill('\n'),
};

/** Of the suites of markdown-it and cmark, and the issues of others: what has made a parser slow. */
const HOSTILE = {
  'spaces in a heading': `# a${fill(' ')}b`,
  'spaces in a link': `[a](${fill(' ')}`,
  'rows without a head': fill('a|b\n'),
  'short rows': `${'|a'.repeat(60)}|\n${'|-'.repeat(60)}|\n${fill('a\n')}`,
  'a wide table': `${'|a'.repeat(5000)}|\n${'|-'.repeat(5000)}|\n${fill('a\n')}`,
  'stars around': `${fill('*', LIMIT / 2)}a${fill('*', LIMIT / 2)}`,
  'nested emphasis': `${fill('*a **a ', LIMIT / 2)}b${fill(' a** a*', LIMIT / 2)}`,
  'closers without openers': fill('a_ '),
  'openers without closers': fill('_a '),
  mismatched: fill('*a_ '),
  'multiples of three': `a**b${fill('c* ')}`,
  'four kinds': fill('**_* '),
  ']': fill('a]'),
  '[': fill('[a'),
  'brackets and emphasis': fill('[ a_'),
  '[ (](': fill('[ (]('),
  'images in images': fill('![[]()'),
  'nested brackets': `${fill('[', LIMIT / 2)}a${fill(']', LIMIT / 2)}`,
  'links without an end': fill('[a](b'),
  'links in brackets without an end': fill('[a](<b'),
  'links with half a title': fill('[a](b "'),
  'deep quotes': `${fill('> ')}a`,
  'deep quotes and emphasis': fill('>', LIMIT / 2) + fill('a*', LIMIT / 2),
  'deep lists': `${fill('- ')}x`,
  'deep lists by indentation': Array.from({ length: 350 }, (_, depth) => `${'  '.repeat(depth)}* a\n`).join(''),
  'empty lines in deep lists': `${fill('- ', LIMIT / 2)}x${fill('\n', LIMIT / 2)}`,
  'empty lines in deep lists of a quote': `> ${fill('- ', LIMIT / 2)}x\n${fill('>\n', LIMIT / 2)}`,
  'no characters': fill('abc\0de\0'),
  'rising backticks': Array.from({ length: 350 }, (_, length) => `e${'`'.repeat(length)}`).join(''),
  'escaped backticks': fill('``\\'),
  '<!--': `</${fill('<!--')}`,
  '<': `${fill('<')}>`,
  'spaces before a break': `x${fill(' ')}x  \nx`,
  'stars in an address': `https://test.com?${fill('*')}a`,
  'addresses in a row': fill('http://'),
  entities: fill('&a'),
  definitions: fill('[a]: b\n'),
  'half a definition': fill('[a]: b "\n'),
  fences: fill('```\n'),
  'fences in fences': fill('```\n````\n'),
  tabs: fill('\t- a\n'),
  returns: fill('a\r\r\n'),
  surrogates: fill('\ud83d'),
};

// Of a clock it knows only when all of it can't but have hung.
test('the work is in proportion to the text, whatever the text and the pieces', { timeout: 600_000 }, () => {
  for (const [name, text] of Object.entries({ ...ENDLESS, ...HOSTILE })) {
    const isHostile = name in HOSTILE;
    for (const [pieces, sizeOf, most] of [
      ['at once', WHOLE, { parsed: 16, nodes: 3, characters: 3 }],
      ['16 at a time', () => 16, { parsed: 48, nodes: 24, characters: 48 }],
    ]) {
      // The worst of them are checked as a whole and in pieces, but not for as long.
      const part = isHostile && pieces !== 'at once' ? text.slice(0, LIMIT / 4) : text;
      const { page, element, parsed } = write(part, sizeOf);
      const work = { parsed, nodes: page.nodes, characters: page.characters };
      for (const [kind, count] of Object.entries(work)) {
        assert(count <= most[kind] * part.length + 20_000, `${name}, ${pieces}: ${kind} ${count} of ${part.length}`);
      }
      assert(depthOf(element) <= 40, `${name}: as deep as ${depthOf(element)}`);
    }
  }
});

test('twice the text is twice the work', { timeout: 600_000 }, () => {
  for (const [name, text] of Object.entries(ENDLESS)) {
    const half = write(text.slice(0, LIMIT / 2), () => 16);
    const whole = write(text, () => 16);
    for (const [one, two] of [[half.parsed, whole.parsed], [half.page.nodes, whole.page.nodes], [half.page.characters, whole.page.characters]]) {
      assert(two <= 2.2 * one + 5000, `${name}: ${one} became ${two}`);
    }
  }
});

test('a mebibyte of one block comes through', { timeout: 600_000 }, () => {
  for (const name of ['list', 'table', 'quote', 'paragraph', 'code', 'code of one line']) {
    const [head] = /^(\|a.*\n\|-.*\n|```.*\n)?/.exec(ENDLESS[name]);
    const text = head + fill(ENDLESS[name].slice(head.length, head.length + 20_000), 1 << 20);
    const { parsed, page } = write(text, () => 256);
    assert(parsed <= 20 * text.length && page.nodes <= 4 * text.length, `${name}: ${parsed} characters, ${page.nodes} nodes`);
  }
});

test('no word of a long text is lost, and emphasis in it is not cut', () => {
  const words = Array.from({ length: 3000 }, (_, nth) => `w${nth}`);
  const code = '```\n';
  for (const [before, between] of [['', ' '], ['', '\n'], ['- x\n- ', ' '], ['> ', ' '], ['- x\n  1. ', ' '], [code, ' '], [`- x\n\n  ${code}  `, ' '], [`> ${code}> `, ' '], ['', ' **bold** ']]) {
    for (const sizeOf of [WHOLE, () => 7, () => 1000]) {
      const { text, element } = write(before + words.join(between), sizeOf);
      const expected = words.join(between.replaceAll('*', ''));
      assert.equal(text.slice(-expected.length), expected, `${JSON.stringify(before + between)}`);
      assert(text.length - expected.length <= 1);
      assert(element.children.length === 1, 'it is one block');
    }
  }
});

test('lines end in any of three ways, also cut in two', () => {
  for (const sizeOf of [WHOLE, () => 1]) {
    assert.equal(write('a\r\nb\rc\n\r\nd\0', sizeOf).html, '<p>a\nb\nc</p><p>d\ufffd</p>');
  }
});

test('markup that a task writes is text, and an address leads only where a link may', () => {
  const rel = 'rel="noopener noreferrer nofollow"';
  for (const [text, html] of [
    ['<img src=x onerror=hit()>', '<p>&lt;img src=x onerror=hit()&gt;</p>'],
    ['<script>hit()</script>', '<p>&lt;script&gt;hit()&lt;/script&gt;</p>'],
    ['&lt;script&gt;&#0;&copy;', '<p>&lt;script&gt;\ufffd©</p>'],
    ['[x](javascript:hit())', '<p>[x](javascript:hit())</p>'],
    ['[x](<javascript:hit()>)', '<p>[x](&lt;javascript:hit()&gt;)</p>'],
    ['[x](JaVaScRiPt&colon;hit())', '<p>[x](JaVaScRiPt:hit())</p>'],
    ['[x](data:text/html;base64,AA)', '<p>[x](data:text/html;base64,AA)</p>'],
    ['![x](data:image/png;base64,AA)', '<p>![x](data:image/png;base64,AA)</p>'],
    ['<javascript:hit()>', '<p>&lt;javascript:hit()&gt;</p>'],
    ['[x](vbscript:x) [y](file:///etc)', '<p>[x](vbscript:x) [y](file:///etc)</p>'],
    ['![a *b*](https://e.x/i "t")', `<p><a href="https://e.x/i" ${rel}>a *b*</a></p>`],
    ['[![i](/i)](/l)', `<p><a href="/l" ${rel}>i</a></p>`],
    ['ftp://e.x mail@e.x e.x //e.x', '<p>ftp://e.x mail@e.x e.x //e.x</p>'],
    ['https://xn--80ak6aa92e.com', `<p><a href="https://xn--80ak6aa92e.com" ${rel}>https://xn--80ak6aa92e.com</a></p>`],
    ['```js" onload="x\ny', '<pre><code class="language-js">y</code></pre>'],
    ['[a]: /b\n\n[a]', '<p>[a]: /b</p><p>[a]</p>'],
  ]) {
    assert.equal(write(text, WHOLE).html, html);
  }
});

test('a text may have marks that are not looked at yet, for as long as it says', () => {
  const page = new FakeDocument();
  const element = page.createElement('div');
  const markdown = new Markdown(element);
  markdown.append('word '.repeat(300));
  markdown.append('**b**');
  assert.equal(markdown.isBehind, true);
  assert.match(element.textContent, /word \*\*b\*\*$|word\*\*b\*\*$/);
  markdown.catchUp();
  assert.equal(markdown.isBehind, false);
  assert.match(element.innerHTML, /<strong>b<\/strong><\/p>$/);
});
