// Renders streamed Markdown, a few characters at a time.
//
// Text that can't change any more is built once; only the rest, a block or two, is parsed again with new text.
// The settled part of an unfinished block, such as a list, is cut off, too: the rest gets the markers of the containers that
// it is in, and its elements continue those of the block. So the rest is always short.

import { Builder } from './markdown-build.js';
import { cut, split } from './markdown-cut.js';
import { parse } from './markdown-parser.js';

/** @import { Frame } from './markdown-build.js' */
/** @import { Cut } from './markdown-cut.js' */
/** @import { Parsed } from './markdown-parser.js' */

/**
 * A longer rest is cut even where that is visible: in a paragraph, emphasis and links across the cut are lost. Nearly all
 * paragraphs are shorter. Because the rest is parsed again with each new piece, its length limits the cost of a piece.
 */
const MAX_REST = 2048;
/** Characters of a cut paragraph or line that stay in the rest. */
const KEEP = 256;
/** A long piece is split into parts of this size, which limits the text that is parsed at once. */
const PART = 1024;
/**
 * A rest longer than this is only parsed again after it has grown by a fraction of its length, so that the parsed text is a
 * constant multiple of the received text, whatever the size of its pieces. Until then, new text is shown unparsed.
 */
const EAGER = 512;
const GROWTH = 1 / 16;

/** A growing text in an element. */
export class Markdown {
  /** The whole text. */
  source = '';
  /** The part that can still change. */
  #rest = '';
  /** The elements that the rest continues, outermost first. @type {Frame[]} */
  #path = [];
  /** What was built of the rest. @type {(Element | Text)[]} */
  #built = [];
  /** Characters that are shown, but not parsed yet. */
  #waiting = '';
  /** Where they are shown. @type {Element} */
  #end;
  /** Whether the last piece ended with `\r`, so that a `\n` at the start of the next one belongs to it. */
  #endsWithReturn = false;

  /** @param {Element} element */
  constructor(element) {
    this.element = element;
    this.#end = element;
  }

  /** @param {string} text */
  append(text) {
    this.source += text;
    this.#waiting += this.#lines(text);
    const isSoon = this.#rest.length > EAGER && this.#waiting.length < this.#rest.length * GROWTH;
    if (isSoon && this.element.contains(this.#end)) this.#show(text);
    else this.catchUp();
  }

  /** Whether unparsed markup may be visible. */
  get isBehind() {
    return this.#waiting !== '';
  }

  /** Parses all received text. */
  catchUp() {
    for (const node of this.#built.splice(0)) node.remove();
    const inner = this.#path.at(-1)?.element;
    // Elements that were removed from the page are not continued.
    if (inner && !this.element.contains(inner)) this.#path = [];
    const added = this.#waiting;
    this.#waiting = '';
    let parsed;
    for (let at = 0; at < added.length || !parsed; at += PART) {
      // Empty lines before a block have no meaning.
      this.#rest = (this.#rest + added.slice(at, at + PART)).replace(/^(?:[ \t]*\n)+/, '');
      parsed = this.#settle(parse(this.#rest));
    }
    const builder = new Builder(this.element, this.#path, false);
    builder.build(parsed.tokens);
    this.#built = builder.added;
    this.#end = builder.end ?? this.element;
  }

  /** @param {string} text */
  #show(text) {
    const node = this.element.ownerDocument.createTextNode(text);
    this.#end.append(node);
    this.#built.push(node);
  }

  /** With one kind of line end. @param {string} text */
  #lines(text) {
    const rest = this.#endsWithReturn && text.startsWith('\n') ? text.slice(1) : text;
    if (text) this.#endsWithReturn = text.endsWith('\r');
    return rest.replace(/\r\n?/g, '\n');
  }

  /** Builds what can't change any more. @param {Parsed} parsed the rest @returns {Parsed} what is left of it */
  #settle(parsed) {
    let left = this.#cut(parsed, cut(parsed, 2));
    if (this.#rest.length > MAX_REST) left = this.#cut(left, cut(left, 1));
    if (this.#rest.length > MAX_REST) left = this.#cut(left, split(left, KEEP));
    // For example, a heading of that length. New text starts a new block.
    if (this.#rest.length > MAX_REST) left = this.#cut(left, { stop: {}, rest: parse('') });
    return left;
  }

  /** @param {Parsed} parsed @param {Cut | undefined} cut */
  #cut(parsed, cut) {
    if (!cut) return parsed;
    const builder = new Builder(this.element, this.#path, true);
    builder.build(parsed.tokens, cut.stop);
    this.#path = builder.path;
    this.#rest = cut.rest.source;
    return cut.rest;
  }
}
