// Markdown as it comes, a few characters at a time.
//
// What can't change any more is built once, and stays; only the rest, a block or two, is parsed again with what comes.
// Of a block that goes on, such as a list, what is settled is cut off like any other: the rest gets the markers of the
// containers in which it is, and its elements go on where those of the block end. So the rest is short whatever the text.

import { Builder } from './markdown-build.js';
import { cut, split } from './markdown-cut.js';
import { parse } from './markdown-parser.js';

/** @import { Frame } from './markdown-build.js' */
/** @import { Cut } from './markdown-cut.js' */
/** @import { Parsed } from './markdown-parser.js' */

/**
 * A longer rest is cut even where that may show: in a paragraph, emphasis and links across the cut are lost. Nearly all
 * paragraphs are shorter; and as it is parsed again with each piece that comes, its length bounds what a piece costs.
 */
const MAX_REST = 2048;
/** What of a paragraph or a line that is cut is kept in the rest. */
const KEEP = 256;
/** What comes at once is taken in parts, so that what is parsed at once has a bound, too. */
const PART = 1024;
/**
 * A rest longer than this is not parsed again before it has grown by a part of itself, so that what is parsed is a multiple of
 * what comes, in whatever pieces. Until then what has come is shown as it is.
 */
const EAGER = 512;
const GROWTH = 1 / 16;

/** A text that grows in an element. */
export class Markdown {
  /** All of it. */
  source = '';
  /** What may still change. */
  #rest = '';
  /** The elements, from the outside, within which the rest goes on. @type {Frame[]} */
  #path = [];
  /** What was built of the rest. @type {(Element | Text)[]} */
  #built = [];
  /** Characters that are shown, but not parsed yet. */
  #waiting = '';
  /** Where they are shown. @type {Element} */
  #end;
  /** A line end of two characters may be cut between them. */
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

  /** Whether marks may be seen that mean something. */
  get isBehind() {
    return this.#waiting !== '';
  }

  /** Parses all that has come. */
  catchUp() {
    for (const node of this.#built.splice(0)) node.remove();
    const inner = this.#path.at(-1)?.element;
    // What was removed from the page is not gone on with.
    if (inner && !this.element.contains(inner)) this.#path = [];
    const added = this.#waiting;
    this.#waiting = '';
    let parsed;
    for (let at = 0; at < added.length || !parsed; at += PART) {
      // Empty lines before a block mean nothing.
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
    // Such as a heading of that length. What comes begins anew.
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
