// markdown-it, set up for text of tasks: html is text, nesting has a bound, and of each block it is known where it begins.

import MarkdownIt from 'markdown-it';

import { isLink } from './sanitize.js';

/** @import { StateBlock, Token } from 'markdown-it' */

/**
 * Where a block or a list item begins: the column from which its container counts, the spaces by which it is indented
 * further, and the offset of its first character.
 * @typedef {{ column: number, indent: number, offset: number }} Place
 * @typedef {{ source: string, lines: string[], tokens: Token[], places: Map<string, Place> }} Parsed
 */

/** Levels of blocks in blocks; a list counts twice. Deeper blocks are text, so the depth of the page has a bound. */
const MAX_LEVEL = 24;
/** A table with more columns is text. */
const MAX_COLUMNS = 64;
/** Cells that markdown-it may add to rows with too few in one go; then the table ends. A short line could bring any number. */
const MAX_ADDED = 1000;

const md = new MarkdownIt({ html: false, linkify: true, maxNesting: 100 });
// Indented text is more often an accident than code, and a definition may come long after the link that needs it.
md.disable(['code', 'reference']);
md.validateLink = (/** @type {string} */ url) => isLink(url);
// An address is shown as it is: decoded, it may look like another.
md.normalizeLinkText = (/** @type {string} */ url) => url;
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
for (const schema of ['ftp:', 'mailto:', '//']) md.linkify.add(schema, null);
const [table] = md.block.ruler.getRules('');
md.block.ruler.at('table', boundedTable, { alt: ['paragraph', 'reference'] });
md.block.ruler.before('table', 'note', note, { alt: ['list'] });

/** @param {string} source @returns {Parsed} */
export function parse(source) {
  /** @type {Map<string, Place>} */
  const places = new Map();
  return { source, lines: source.split('\n'), tokens: md.parse(source, { places }), places };
}

/** Text within a block. @param {string} source @returns {Token[]} */
export function parseInline(source) {
  return md.parseInline(source, {})[0]?.children ?? [];
}

/** Where the block or item begins that `token` opens. @param {Parsed} parsed @param {Token} token */
export function placeOf({ places }, token) {
  return places.get(`${token.map?.[0]}:${token.level}`);
}

/**
 * The first of markdown-it's rules: asked at the beginning of every block, and of every item that follows another.
 * @param {StateBlock} state @param {number} line @param {number} end @param {boolean} isSilent
 */
function note(state, line, end, isSilent) {
  const column = state.blkIndent;
  const indent = (state.sCount[line] ?? 0) - column;
  const offset = (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
  const places = /** @type {Map<string, Place>} */ (state.env.places);
  places?.set(`${line}:${state.level}`, { column, indent, offset });
  if (isSilent || (state.level < MAX_LEVEL && !isTooWide(state, line + 1, end))) return false;
  plain(state, line, end);
  return true;
}

/** Whether this line gives a table above it too many columns. @param {StateBlock} state @param {number} line @param {number} end */
function isTooWide(state, line, end) {
  if (line >= end || (state.eMarks[line] ?? 0) - (state.bMarks[line] ?? 0) < MAX_COLUMNS) return false;
  const text = state.getLines(line, line + 1, state.blkIndent, false);
  return /^[\s|:-]+$/.test(text) && text.split('|').length > MAX_COLUMNS + 2;
}

/** @type {typeof note} */
function boundedTable(state, line, end, isSilent) {
  if (!table?.(state, line, end, true)) return false;
  return isSilent || table(state, line, endOfTable(state, line, end), false);
}

/** The line before which so many cells would have been added. @param {StateBlock} state @param {number} line @param {number} end */
function endOfTable(state, line, end) {
  const cells = (/** @type {number} */ at) => state.src.slice(state.bMarks[at], state.eMarks[at]).split('|').length;
  const columns = cells(line + 1) - 2;
  let added = 0;
  for (let at = line + 2; at < end && !state.isEmpty(at); at += 1) {
    added += Math.max(0, columns - cells(at));
    if (added > MAX_ADDED) return at;
  }
  return end;
}

/** A paragraph, whatever the lines look like. @param {StateBlock} state @param {number} from @param {number} end */
function plain(state, from, end) {
  let to = from + 1;
  while (to < end && !state.isEmpty(to) && (state.sCount[to] ?? 0) >= state.blkIndent) to += 1;
  state.line = to;
  state.push('paragraph_open', 'p', 1).map = [from, to];
  const text = state.push('inline', '', 0);
  text.content = state.getLines(from, to, state.blkIndent, false).trim();
  text.map = [from, to];
  text.children = [];
  state.push('paragraph_close', 'p', -1);
}
