// Finds where a growing text can be cut: the part before the cut can't change any more, and the part after it, preceded by
// the markers of the containers that are open there, means the same on its own.

import { parse, parseInline, placeOf } from './markdown-parser.js';

/** @import { Token } from 'markdown-it' */
/** @import { Parsed } from './markdown-parser.js' */

/** The part of a fence's line that is repeated after a cut: the name of the language. */
const MAX_INFO = 100;
/** Most positions that are tried to cut a paragraph. */
const MAX_TRIES = 8;

/**
 * Where to stop: before a line, or inside a token, of which `text` belongs to the part before the cut.
 * @typedef {{ line?: number, inside?: Token, text?: string, isWithinLine?: boolean }} Stop
 * @typedef {{ stop: Stop, rest: Parsed }} Cut
 */

/** Whether the token begins a block, an item or a row. @param {Token} token */
export const begins = (token) => token.nesting >= 0 && token.map !== null && token.type !== 'inline';

/** The last token that begins a block, an item or a row. @param {Parsed} parsed */
function lastBlock({ tokens }) {
  return tokens.findLast(begins);
}

/**
 * Cuts so that the last `keep` lines that begin a block, an item or a row follow. The last line is incomplete, so it may
 * turn out to belong to the block before it, or to make that a table; so two lines are kept where possible.
 * @param {Parsed} parsed @param {number} keep @returns {Cut | undefined}
 */
export function cut(parsed, keep) {
  const { tokens, lines } = parsed;
  const last = lastBlock(parsed);
  // In code, only the last line can change.
  if (last && isOpenFence(parsed, last) && lines.length - 2 > startOf(last)) return cutAt(parsed, lines.length - 1, last);
  const starts = [...new Set(tokens.filter(begins).map(startOf))];
  const line = starts.length > keep ? starts.at(-keep) : undefined;
  return line === undefined ? undefined : cutAt(parsed, line);
}

/** @param {Parsed} parsed @param {number} line @param {Token} [fence] that contains the line @returns {Cut | undefined} */
function cutAt(parsed, line, fence) {
  const { tokens } = parsed;
  const { stack, at } = openAt(tokens, fence ? (token) => token === fence : (token) => begins(token) && startOf(token) >= line);
  const next = tokens[at];
  const table = stack.findIndex(({ type }) => type === 'table_open');
  const source = fence
    ? restOfFence(parsed, line, stack, fence)
    : table >= 0
      ? restOfTable(parsed, line, stack, table)
      : next && restOf(parsed, next, stack);
  // The rest of a table begins with a head of the same length, and is not cut there again.
  if (source === undefined || source === parsed.source) return undefined;
  const rest = parse(source);
  if (!isSame(parsed, at, rest, stack, fence !== undefined)) return undefined;
  if (!fence) return { stop: { line }, rest };
  const text = codeLines(fence).slice(0, line - startOf(fence) - 1).join('\n');
  return { stop: { inside: fence, text }, rest };
}

/** The first matching token, and the containers that are open there. @param {Token[]} tokens @param {(token: Token) => boolean} isIt */
function openAt(tokens, isIt) {
  /** @type {Token[]} */
  const stack = [];
  for (const [at, token] of tokens.entries()) {
    if (isIt(token)) return { stack, at };
    if (token.nesting > 0) stack.push(token);
    else if (token.nesting < 0) stack.pop();
  }
  return { stack, at: tokens.length };
}

/**
 * The prefix of a line within these containers: their markers, as if they began there, or their continuation.
 * @param {Parsed} parsed @param {Token[]} stack @param {boolean} isFirst
 */
function prefix(parsed, stack, isFirst) {
  let text = '';
  let column = 0;
  for (const token of stack) {
    if (token.type === 'blockquote_open') {
      text += '> ';
      column = 0;
    } else if (token.type === 'list_item_open') {
      const child = parsed.tokens[parsed.tokens.indexOf(token) + 1];
      const place = child && placeOf(parsed, child);
      if (!place) return undefined;
      const width = place.column - column;
      const marker = token.info + token.markup;
      // More than four spaces after a marker would be part of the text.
      text += isFirst ? `${' '.repeat(Math.max(0, width - marker.length - 4))}${marker}`.padEnd(width) : ' '.repeat(width);
      column = place.column;
    }
  }
  return text;
}

/**
 * The prefix of a block that is now the first in its containers: their markers, and its additional indentation.
 * @param {Parsed} parsed @param {Token[]} stack @param {Token} block
 */
function lead(parsed, stack, block) {
  const place = placeOf(parsed, block);
  const markers = prefix(parsed, stack, true);
  if (!place || markers === undefined) return undefined;
  const indent = ' '.repeat(Math.max(0, place.indent));
  // After an item's marker, these spaces would shift the column from which its content is indented.
  const isInItem = stack.at(-1)?.type === 'list_item_open' && indent !== '';
  return isInItem ? `${markers.trimEnd()}\n${prefix(parsed, stack, false)}${indent}` : markers + indent;
}

/** @param {Parsed} parsed @param {Token} next @param {Token[]} stack */
function restOf(parsed, next, stack) {
  const before = lead(parsed, stack, next);
  return before === undefined ? undefined : before + parsed.source.slice(placeOf(parsed, next)?.offset);
}

/** A cut in a fence: the rest begins with its opening line. @param {Parsed} parsed @param {number} line @param {Token[]} stack @param {Token} fence */
function restOfFence(parsed, line, stack, fence) {
  const head = fenceHead(parsed, stack, fence);
  return head === undefined ? undefined : [head, ...parsed.lines.slice(line)].join('\n');
}

/** @param {Parsed} parsed @param {Token[]} stack @param {Token} fence */
function fenceHead(parsed, stack, fence) {
  const before = lead(parsed, stack, fence);
  return before === undefined ? undefined : before + fence.markup + languageOf(fence);
}

/** A cut in a table: the rest begins with a head with as many columns. @param {Parsed} parsed @param {number} line @param {Token[]} stack @param {number} table */
function restOfTable(parsed, line, stack, table) {
  const { tokens, lines } = parsed;
  const from = tokens.indexOf(/** @type {Token} */ (stack[table]));
  const head = tokens.slice(from, tokens.findIndex(({ type }, at) => at > from && type === 'thead_close'));
  const columns = head.filter(({ type }) => type === 'th_open').length;
  const first = prefix(parsed, stack, true);
  if (first === undefined) return undefined;
  // A table whose rows are mostly padded is not cut until it reaches the limit of padded cells.
  const above = startOf(tokens[from]) + 2;
  if (columns * (line - above) > lines.slice(above, line).join('\n').length) return undefined;
  const row = (/** @type {string} */ cell) => `|${`${cell}|`.repeat(columns)}`;
  return [first + row(' '), prefix(parsed, stack, false) + row('-'), ...lines.slice(line)].join('\n');
}

/**
 * Whether the rest means the same on its own. A text with an unusual layout may not, and is then cut later.
 * @param {Parsed} whole @param {number} at @param {Parsed} rest @param {Token[]} stack @param {boolean} isCode
 */
function isSame(whole, at, rest, stack, isCode) {
  const table = stack.findIndex(({ type }) => type === 'table_open');
  const head = table < 0 ? -1 : rest.tokens.findIndex(({ type }) => type === 'thead_close');
  const from = head < 0 ? stack.length : head + stack.length - table;
  const outer = head < 0 ? stack : stack.slice(0, table);
  if (outer.some(({ type }, nth) => rest.tokens[nth]?.type !== type)) return false;
  if (prefix(whole, outer, false) !== prefix(rest, rest.tokens.slice(0, outer.length), false)) return false;
  if (rest.tokens.length - from !== whole.tokens.length - at) return false;
  return rest.tokens.slice(from).every((token, nth) => {
    const other = /** @type {Token} */ (whole.tokens[at + nth]);
    return token.type === other.type && token.markup === other.markup && (isCode || token.content === other.content);
  });
}

/** @param {Token | undefined} token */
function startOf(token) {
  return token?.map?.[0] ?? 0;
}

/** The language that a fence names. @param {Token} fence */
export function languageOf(fence) {
  return /^[\w+#.-]+/.exec(fence.info.trim())?.[0].slice(0, MAX_INFO) ?? '';
}

/** Lines of code. @param {Token} fence */
export function codeLines({ content }) {
  return content === '' ? [] : content.replace(/\n$/, '').split('\n');
}

/** Whether the code extends to the end of the text. @param {Parsed} parsed @param {Token} token */
function isOpenFence({ lines }, token) {
  if (token.type !== 'fence' || !token.map) return false;
  const [from, to] = token.map;
  const isLast = to === lines.length - (lines.at(-1) === '' ? 1 : 0);
  return isLast && codeLines(token).length === to - from - 1;
}

/**
 * Cuts inside the last line of code, or inside a paragraph, that has grown too long. The rest begins with a letter if there
 * is one, so that it can't be parsed as another block.
 * @param {Parsed} parsed @param {number} keep characters to keep
 * @returns {Cut | undefined}
 */
export function split(parsed, keep) {
  const last = lastBlock(parsed);
  if (!last) return undefined;
  const { stack } = openAt(parsed.tokens, (token) => token === last);
  if (isOpenFence(parsed, last)) return splitCode(parsed, stack, last, keep);
  return last.type === 'paragraph_open' ? splitText(parsed, stack, last, keep) : undefined;
}

/** @param {Parsed} parsed @param {Token[]} stack @param {Token} fence @param {number} keep */
function splitCode(parsed, stack, fence, keep) {
  const head = fenceHead(parsed, stack, fence);
  const text = codeLines(fence).at(-1);
  const place = placeOf(parsed, fence);
  if (head === undefined || text === undefined || !place || text.length <= keep) return undefined;
  const at = boundary(text, text.length - keep, /[\p{L}\p{N}]/u, /[^]/);
  const line = prefix(parsed, stack, false) + ' '.repeat(place.indent) + text.slice(at);
  const before = [...codeLines(fence).slice(0, -1), text.slice(0, at)].join('\n');
  return { stop: { inside: fence, text: before, isWithinLine: true }, rest: parse(`${head}\n${line}`) };
}

/** @param {Parsed} parsed @param {Token[]} stack @param {Token} paragraph @param {number} keep */
function splitText(parsed, stack, paragraph, keep) {
  const first = prefix(parsed, stack, true);
  const next = prefix(parsed, stack, false);
  const text = parsed.tokens[parsed.tokens.indexOf(paragraph) + 1]?.content ?? '';
  if (first === undefined || next === undefined || text.length <= keep) return undefined;
  const at = boundaryOfText(text, text.length - keep);
  const end = paragraph.map?.[1] ?? 0;
  // markdown-it trims spaces at the end, which matter while the line continues.
  const space = /[ \t]*$/.exec(parsed.lines[end - 1] ?? '')?.[0] ?? '';
  const lines = text.slice(at).split('\n').join(`\n${next}`) + space;
  const rest = parse(first + [lines, ...parsed.lines.slice(end)].join('\n'));
  return { stop: { inside: paragraph, text: text.slice(0, at) }, rest };
}

/** The last position up to `to` that is between the two patterns, or `to`. @param {string} text @param {number} to @param {RegExp} after @param {RegExp} before */
function boundary(text, to, after, before) {
  for (let at = to; at > to / 2; at -= 1) {
    if (after.test(text[at] ?? '') && before.test(text[at - 1] ?? '')) return at;
  }
  const isInPair = /[\uD800-\uDBFF]/.test(text[to - 1] ?? '');
  return isInPair ? to - 1 : to;
}

/** The last position up to `to` that cuts neither emphasis nor a link, if there is one nearby. @param {string} text @param {number} to */
function boundaryOfText(text, to) {
  const shown = textOf(text);
  let at = to;
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    at = boundary(text, at, /\p{L}/u, /[\s.,:;!?。，、；：！？]/);
    if (textOf(text.slice(0, at)) + textOf(text.slice(at)) === shown) return at;
    at -= 1;
  }
  return boundary(text, to, /\p{L}/u, /[\s.,:;!?。，、；：！？]/);
}

/** The visible text, including markup characters without meaning. @param {string} text */
function textOf(text) {
  return parseInline(text).map(({ type, content }) => (type === 'softbreak' ? '\n' : content)).join('');
}
