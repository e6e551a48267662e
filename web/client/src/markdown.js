// Markdown as it comes: headings, lists, quotes, tables, code, emphasis, links.
//
// It is built of elements and text, and html in it is text: nothing in it can become anything else.
// Images are shown as links: an address is enough to carry what a model was told to whoever asked it to.

import { isLink } from './sanitize.js';

/** Blocks in blocks; deeper ones are text. */
const MAX_DEPTH = 12;

const FENCE = /^ {0,3}(`{3,}|~{3,}) *([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6}) +(.*?)(?: +#+)? *$/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|(\d{1,9})[.)])( +|$)/;
const TABLE_RULE = /^ *\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;
const MARKS = /\\[!-/:-@[-`{-~]|`+|\*\*?|__?|~~|!?\[|<?https?:\/\/| {2,}\n/g;
/** There is no link in a link. */
const LABEL_MARKS = /\\[!-/:-@[-`{-~]|`+|\*\*?|__?|~~/g;
const LINK_TARGET = /\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+"[^"]*")?\s*\)/y;
const isBlank = (/** @type {string} */ line) => line.trim() === '';

/** A text that grows in an element. What can't change any more is built once. */
export class Markdown {
  /** All of it. */
  source = '';
  /** The last block, which may still grow, and what was built of it. */
  #last = '';
  /** @type {ChildNode[]} */
  #built = [];

  /** @param {Element} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text */
  append(text) {
    this.source += text;
    for (const node of this.#built) node.remove();
    const { element } = this;
    const blocks = cut(this.#last + text);
    const open = blocks.splice(settled(blocks));
    for (const block of blocks) build(block, element, 0);
    const before = element.childNodes.length;
    for (const block of open) build(block, element, 0);
    this.#built = [...element.childNodes].slice(before);
    this.#last = open.flat().join('\n');
  }
}

/**
 * How many of the blocks can't change any more. The last one may grow; and as long as its first line is not complete,
 * it may yet turn out to be a part of the one before.
 * @param {string[][]} blocks
 */
function settled(blocks) {
  let count = blocks.length - 1;
  if ((blocks[count]?.length ?? 0) > 1) return count;
  while (count > 0 && isBlank((blocks[count - 1] ?? []).join(''))) count -= 1;
  return Math.max(count - 1, 0);
}

/** Lines of each block, with the empty ones that follow it. @param {string} source @returns {string[][]} */
function cut(source) {
  /** @type {string[][]} */
  const blocks = [];
  const lines = source.split('\n');
  for (let at = 0; at < lines.length; ) {
    const end = endOfBlock(lines, at);
    blocks.push(lines.slice(at, end));
    at = end;
  }
  return blocks;
}

/** @param {string[]} lines @param {number} at */
function endOfBlock(lines, at) {
  const first = lines[at] ?? '';
  let end = at + 1;
  const fence = FENCE.exec(first);
  if (fence) {
    while (end < lines.length && !closes(lines[end] ?? '', fence[1] ?? '')) end += 1;
    return Math.min(end + 1, lines.length);
  }
  if (HEADING.test(first) || RULE.test(first) || isBlank(first)) return end;
  const item = ITEM.exec(first);
  if (item) {
    while (end < lines.length && isInList(lines, end, item)) end += 1;
    return end;
  }
  const isQuote = QUOTE.test(first);
  while (end < lines.length && !isBlank(lines[end] ?? '') && (isQuote || !begins(lines[end] ?? ''))) end += 1;
  return end;
}

/** Whether a line belongs to the list that `first` begins. @param {string[]} lines @param {number} at @param {RegExpExecArray} first */
function isInList(lines, at, first) {
  const line = lines[at] ?? '';
  const next = lines[at + 1];
  // An empty line does, if what comes after it does.
  if (isBlank(line)) return next === undefined || isBlank(next) || isOfList(next, first);
  return isOfList(line, first) || !begins(line);
}

/** Whether a line is an item of the list, or stands within one. @param {string} line @param {RegExpExecArray} first */
function isOfList(line, first) {
  const item = ITEM.exec(line);
  return /^ {2,}\S/.test(line) || (item !== null && (item[3] === undefined) === (first[3] === undefined));
}

/** Whether a line ends a paragraph by being another block. @param {string} line */
function begins(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/** @param {string} line @param {string} fence */
function closes(line, fence) {
  const text = line.trim();
  return text.length >= fence.length && text === (fence[0] ?? '').repeat(text.length);
}

/** @param {string[]} lines @param {Element} parent @param {number} depth */
function build(lines, parent, depth) {
  const first = lines[0] ?? '';
  const text = lines.join('\n');
  if (isBlank(text)) return;
  const heading = HEADING.exec(first);
  if (depth > MAX_DEPTH) add(parent, 'p', text);
  else if (FENCE.test(first)) code(lines, parent);
  else if (heading) inline(heading[2] ?? '', add(parent, `h${heading[1]?.length}`));
  else if (RULE.test(first)) add(parent, 'hr');
  else if (QUOTE.test(first)) within(lines.map((line) => line.replace(QUOTE, '')), add(parent, 'blockquote'), depth);
  else if (ITEM.test(first)) list(lines, parent, depth);
  else if (TABLE_RULE.test(lines[1] ?? '') && first.includes('|')) table(lines, parent);
  else inline(text.trim(), add(parent, 'p'));
}

/** @param {string[]} lines @param {Element} parent @param {number} depth */
function within(lines, parent, depth) {
  for (const block of cut(lines.join('\n'))) build(block, parent, depth + 1);
}

/** @param {string[]} lines @param {Element} parent */
function code(lines, parent) {
  const [, fence = '', language = ''] = FENCE.exec(lines[0] ?? '') ?? [];
  const isClosed = lines.length > 1 && closes(lines.at(-1) ?? '', fence);
  const element = add(add(parent, 'pre'), 'code', lines.slice(1, isClosed ? -1 : undefined).join('\n'));
  if (language) element.className = `language-${language}`;
}

/** @param {string[]} lines @param {Element} parent @param {number} depth */
function list(lines, parent, depth) {
  const [, indent = '', , number] = ITEM.exec(lines[0] ?? '') ?? [];
  const element = add(parent, number === undefined ? 'ul' : 'ol');
  if (number !== undefined && number !== '1') element.setAttribute('start', String(Number(number)));
  /** @type {string[][]} */
  const items = [];
  let inset = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && (item[1] ?? '').length < Math.max(inset, indent.length + 2)) {
      inset = (item[1] ?? '').length + (item[2] ?? '').length + 1;
      items.push([line.slice(item[0].length)]);
    } else items.at(-1)?.push(line.replace(new RegExp(`^ {0,${inset}}`), ''));
  }
  for (const item of items) {
    const entry = add(element, 'li');
    const blocks = cut(item.join('\n'));
    // Of an item that is one paragraph, no paragraph is made.
    const isTight = !begins(blocks[0]?.[0] ?? '');
    if (isTight) inline((blocks.shift() ?? []).join('\n').trim(), entry);
    for (const block of blocks) build(block, entry, depth + 1);
  }
}

/** @param {string[]} lines @param {Element} parent */
function table(lines, parent) {
  const cells = (/** @type {string} */ line) => line.trim().replace(/^\||\|$/g, '').split('|');
  const row = (/** @type {string} */ line, /** @type {Element} */ part, /** @type {string} */ name) => {
    const tr = add(part, 'tr');
    for (const cell of cells(line)) inline(cell.trim(), add(tr, name));
  };
  const element = add(parent, 'table');
  row(lines[0] ?? '', add(element, 'thead'), 'th');
  const body = add(element, 'tbody');
  for (const line of lines.slice(2)) if (!isBlank(line)) row(line, body, 'td');
}

/** Emphasis, code and links. @param {string} text @param {Element} parent @param {number} [depth] @param {boolean} [isLabel] */
function inline(text, parent, depth = 0, isLabel = false) {
  const marks = new RegExp(isLabel ? LABEL_MARKS : MARKS);
  const seen = { dead: new Set(), label: -1 };
  let from = 0;
  for (let found = marks.exec(text); found && depth < MAX_DEPTH; found = marks.exec(text)) {
    const made = special(text, found.index, found[0], seen, depth, isLabel);
    if (!made) continue;
    parent.append(text.slice(from, found.index), made.node);
    from = marks.lastIndex = made.end;
  }
  parent.append(text.slice(from));
}

/**
 * What a mark begins, and where that ends; nothing if it is only a character. What was looked for in vain is
 * `seen`, and not looked for again: hostile text takes no longer than other.
 * @param {string} text @param {number} at @param {string} mark @param {{ dead: Set<string>, label: number }} seen @param {number} depth @param {boolean} isLabel
 * @returns {{ node: Node, end: number } | undefined}
 */
function special(text, at, mark, seen, depth, isLabel) {
  const start = at + mark.length;
  if (mark[0] === '\\') return { node: document.createTextNode(mark.slice(1)), end: start };
  if (mark[0] === ' ') return { node: document.createElement('br'), end: start };
  if (mark.endsWith('[')) return link(text, start, seen, depth);
  if (mark.endsWith('/')) return address(text, at);
  if (seen.dead.has(mark)) return undefined;
  const isCode = mark[0] === '`';
  if (!isCode && (!/\S/.test(text[start] ?? ' ') || (mark[0] === '_' && /\w/.test(text[at - 1] ?? '')))) return undefined;
  const close = isCode ? endOfCode(text, mark, start) : endOfEmphasis(text, mark, start);
  if (close < 0) {
    seen.dead.add(mark);
    return undefined;
  }
  const inner = text.slice(start, close);
  const node = document.createElement(isCode ? 'code' : mark === '~~' ? 's' : mark.length === 2 ? 'strong' : 'em');
  if (isCode) node.textContent = inner.replace(/^ (.*\S.*) $/s, '$1');
  else inline(inner, node, depth + 1, isLabel);
  return { node, end: close + mark.length };
}

/** @param {string} text @param {string} mark @param {number} from */
function endOfCode(text, mark, from) {
  for (let at = text.indexOf(mark, from); at >= 0; ) {
    let end = at + mark.length;
    if (text[end] !== '`') return at;
    while (text[end] === '`') end += 1;
    at = text.indexOf(mark, end);
  }
  return -1;
}

/** @param {string} text @param {string} mark @param {number} from */
function endOfEmphasis(text, mark, from) {
  for (let at = text.indexOf(mark, from); at >= 0; at = text.indexOf(mark, at + mark.length)) {
    const next = text[at + mark.length] ?? ' ';
    // Two of them are another mark; of three, the first belongs to what is within.
    if (next === mark[0]) {
      at += 1;
      if (mark.length === 1) continue;
    }
    const isWord = mark[0] === '_' && /\w/.test(text[at + mark.length] ?? ' ');
    if (at > from && !isWord && /\S/.test(text[at - 1] ?? ' ')) return at;
  }
  return -1;
}

/** `[label](address)`. @param {string} text @param {number} start @param {{ label: number }} seen @param {number} depth */
function link(text, start, seen, depth) {
  if (seen.label < start) seen.label = text.indexOf('](', start);
  if (seen.label < 0) seen.label = Infinity;
  if (seen.label === Infinity) return undefined;
  const target = new RegExp(LINK_TARGET);
  target.lastIndex = seen.label + 1;
  const found = target.exec(text);
  if (!found || !isLink(found[1] ?? '')) return undefined;
  const node = anchor(found[1] ?? '');
  inline(text.slice(start, seen.label), node, depth + 1, true);
  return { node, end: target.lastIndex };
}

/** An address that stands by itself. @param {string} text @param {number} at */
function address(text, at) {
  const [found = ''] = /^<?https?:\/\/[^\s<>]{1,2000}/.exec(text.slice(at, at + 2010)) ?? [];
  // What ends a sentence is no part of it.
  const url = found.replace(/^</, '').replace(/[.,:;!?'")\]*_]{1,20}$/, '');
  if (!found || !isLink(url)) return undefined;
  const isQuoted = found[0] === '<';
  const node = anchor(url);
  node.textContent = url;
  const end = at + url.length + (isQuoted ? 1 : 0);
  return { node, end: isQuoted && text[end] === '>' ? end + 1 : end };
}

/** @param {string} url */
function anchor(url) {
  const node = document.createElement('a');
  node.setAttribute('href', url);
  node.setAttribute('rel', 'noopener noreferrer nofollow');
  return node;
}

/** @param {Element} parent @param {string} name @param {string} [text] */
function add(parent, name, text) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}
