// markdown-it, configured for text of tasks: HTML is text, nesting is limited, and the start of each block is recorded.

import MarkdownIt from 'markdown-it';

import { isLink } from './sanitize.js';

/** @import { StateBlock, Token } from 'markdown-it' */

/**
 * The start of a block or a list item: the column from which its container's content is indented, its additional
 * indentation in spaces, and the offset of its first character.
 * @typedef {{ column: number, indent: number, offset: number }} Place
 * @typedef {{ source: string, lines: string[], tokens: Token[], places: Map<string, Place> }} Parsed
 */

/** Nesting of blocks; a list counts twice. Deeper blocks become text, which limits the depth of the page. */
const MAX_LEVEL = 24;
/** A table with more columns is text. */
const MAX_COLUMNS = 64;
/** Most cells that markdown-it adds to short rows of a table before it ends; without a limit, short lines could add any number. */
const MAX_ADDED = 1000;

const md = new MarkdownIt({ html: false, linkify: true, maxNesting: 100 });
// Indented text is more often accidental than code, and a link definition can come long after the link.
md.disable(['code', 'reference']);
md.validateLink = (/** @type {string} */ url) => isLink(url);
// A URL is shown unchanged: decoded, it can look like another one.
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

/** The start of the block or item that `token` opens. @param {Parsed} parsed @param {Token} token */
export function placeOf({ places }, token) {
  return places.get(`${token.map?.[0]}:${token.level}`);
}

/**
 * The first of markdown-it's rules: called at the start of every block, and of every item that follows another.
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

/** The line before which too many cells would have been added. @param {StateBlock} state @param {number} line @param {number} end */
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

/** Makes the lines a paragraph, whatever they look like. @param {StateBlock} state @param {number} from @param {number} end */
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
