// Builds the DOM for markdown-it's tokens from elements and text nodes, so text can never become markup.
// Images become links, because loading an image's URL could leak a model's context to an attacker who injected the image.

import { begins, codeLines, languageOf } from './markdown-cut.js';
import { parseInline } from './markdown-parser.js';
import { isLink } from './sanitize.js';

/** @import { Token } from 'markdown-it' */
/** @import { Stop } from './markdown-cut.js' */

/**
 * An element that is being built, for a token of this type. `isFresh`: this item is still empty. `joint`: the text between
 * the existing code and the next.
 * @typedef {{ type: string, element: Element, isFresh?: boolean, joint?: string }} Frame
 */

/** Nesting of emphasis and links; deeper ones become text, which limits the depth of the page. */
const MAX_INLINE = 12;
/** A longer text gets a new node, because adding to a node copies its text, and the browser measures all of it again. */
const TEXT_NODE_CHARS = 4 << 10;

/** Builds tokens below an element. The first tokens can correspond to existing elements: those of `path`. */
export class Builder {
  /** @type {Frame[]} */
  #stack;
  /** Frames of the path without a corresponding token so far. @type {Frame[]} */
  #known;
  /** Frames of existing elements. @type {Set<Frame>} */
  #old = new Set();
  /** Nodes that were added to existing elements. @type {(Element | Text)[]} */
  added = [];

  /** @param {Element} root @param {Frame[]} path @param {boolean} isSettled whether the built nodes are final */
  constructor(root, path, isSettled) {
    const frame = { type: 'root', element: root };
    this.page = root.ownerDocument;
    this.isSettled = isSettled;
    this.#stack = [frame];
    this.#old.add(frame);
    this.#known = [...path];
  }

  /** The element that further text most likely belongs to. @type {Element | undefined} */
  end;

  /** The open frames. */
  get path() {
    return this.#stack.slice(1);
  }

  /** @param {Token[]} tokens @param {Stop} [stop] */
  build(tokens, stop = {}) {
    const { line = Infinity, inside } = stop;
    for (let at = 0; at < tokens.length; at += 1) {
      const token = /** @type {Token} */ (tokens[at]);
      if (begins(token) && (token.map?.[0] ?? 0) >= line) return;
      if (token.type === 'fence') this.#code(token, token === inside ? stop : undefined);
      else if (token.type === 'inline') this.#inline(token.children ?? []);
      else if (token.nesting < 0) this.#stack.pop();
      else if (token.nesting === 0) this.#add(token.tag);
      // The head of a continued table exists already.
      else if (this.#open(token) && token.type === 'table_open') at = tokens.findIndex(({ type }) => type === 'thead_close');
      if (token === inside) {
        if (token.type !== 'fence') this.#inline(parseInline(stop.text ?? ''));
        return;
      }
    }
  }

  /** @returns {Frame} */
  get #top() {
    return /** @type {Frame} */ (this.#stack.at(-1));
  }

  /** Whether the element that the token opens exists. @param {Token} token */
  #open(token) {
    if (this.#reopen(token.type)) return true;
    const parent = this.#top;
    // An item's first paragraph gets no element, because it is not known yet whether more paragraphs follow.
    if (token.type === 'paragraph_open' && parent.isFresh) {
      parent.isFresh = false;
      this.#push(token.type, parent.element, this.#old.has(parent));
      return false;
    }
    const element = this.#add(token.tag);
    const start = token.attrGet('start');
    if (start !== null) element.setAttribute('start', String(start));
    this.#push(token.type, element).isFresh = token.type === 'list_item_open';
    return false;
  }

  /** @param {string} type */
  #reopen(type) {
    const known = this.#known.shift();
    if (known?.type !== type) {
      this.#known = [];
      return false;
    }
    Object.assign(this.#push(type, known.element, true), known);
    return true;
  }

  /** @param {string} type @param {Element} element @param {boolean} [isOld] */
  #push(type, element, isOld = false) {
    /** @type {Frame} */
    const frame = { type, element };
    this.#stack.push(frame);
    if (isOld) this.#old.add(frame);
    return frame;
  }

  /** @param {Token} token @param {Stop} [stop] if the token is incomplete */
  #code(token, stop) {
    if (!this.#reopen('fence')) {
      const element = this.page.createElement('code');
      const language = languageOf(token);
      if (language) element.className = `language-${language}`;
      this.#add('pre').append(element);
      this.#push('fence', element);
    }
    this.end = this.#top.element;
    const lines = codeLines(token);
    const text = stop ? stop.text : lines.length > 0 ? lines.join('\n') : undefined;
    if (text !== undefined) {
      this.#text((this.#top.joint ?? '') + text);
      this.#top.joint = stop?.isWithinLine ? '' : '\n';
    }
    if (!stop) this.#stack.pop();
  }

  /** @param {Token[]} tokens */
  #inline(tokens) {
    this.end = this.#top.element;
    const depth = this.#stack.length;
    let tooDeep = 0;
    let links = 0;
    for (const token of tokens) {
      if (token.nesting > 0) {
        if (token.type === 'link_open') links += 1;
        if (tooDeep > 0 || this.#stack.length - depth >= MAX_INLINE) tooDeep += 1;
        else this.#push(token.type, token.type === 'link_open' ? this.#link(String(token.attrGet('href'))) : this.#add(token.tag));
      } else if (token.nesting < 0) {
        if (token.type === 'link_close') links -= 1;
        if (tooDeep > 0) tooDeep -= 1;
        else this.#stack.pop();
      } else if (token.type === 'image' && links === 0) {
        this.#link(String(token.attrGet('src'))).textContent = token.content;
      } else if (token.type === 'code_inline') {
        this.#add('code').textContent = token.content;
      } else if (token.type === 'hardbreak') {
        this.#add('br');
      } else {
        this.#text(token.type === 'softbreak' ? '\n' : token.content);
      }
    }
  }

  /** @param {string} url */
  #link(url) {
    const element = this.#add('a');
    if (isLink(url)) element.setAttribute('href', url);
    element.setAttribute('rel', 'noopener noreferrer nofollow');
    return element;
  }

  /** @param {string} name */
  #add(name) {
    const element = this.page.createElement(name);
    this.#append(element);
    this.#top.isFresh = false;
    return element;
  }

  /** @param {string} text */
  #text(text) {
    const last = this.#top.element.lastChild;
    const isText = last?.nodeType === 3 && /** @type {Text} */ (last).length < TEXT_NODE_CHARS;
    // A text that is not final must be a separate node, so that it can be removed.
    if (isText && this.isSettled) /** @type {Text} */ (last).appendData(text);
    else if (text) this.#append(this.page.createTextNode(text));
  }

  /** @param {Element | Text} node */
  #append(node) {
    const frame = this.#top;
    frame.element.append(node);
    if (this.#old.has(frame)) this.added.push(node);
  }
}
