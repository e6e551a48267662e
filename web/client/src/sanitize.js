// Html of a task, made harmless: by DOMPurify, and by rules of our own for what it has no settings for.
//
// It is parsed into a document of its own, which runs and loads nothing. What is parsed is never written out
// and parsed again, so no second reading can find in it what the first one did not.
// The platform's own `setHTML` is not used: its lists are others, and differ by browser.

import createDOMPurify from 'dompurify';

/** @import { Config, DOMPurify, UponSanitizeAttributeHookEvent } from 'dompurify' */
/** @import { SanitizeOptions } from '../streamtask.d.ts' */

/** Kept. */
const ELEMENTS = (
  'a abbr article aside b bdi bdo blockquote br caption cite code col colgroup data dd del details dfn div dl dt em ' +
  'figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark meter ol output p pre progress q rp ' +
  'rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr'
).split(' ');
/** Left out with all that is in them: what they hold is no text to read. Of others that are left out, what is in them stays. */
const HIDDEN = (
  'applet audio base canvas embed frame frameset head iframe link math meta noembed noframes noscript object option ' +
  'param picture plaintext script select source style svg template textarea title track video xmp'
).split(' ');
/** On every element. Without `style`, `name`, event handlers, and `data-` that scripts of the page may act upon. */
const ATTRIBUTES = (
  'id class dir lang role title data-stream data-stream-mode data-stream-format data-stream-limit data-stream-scroll ' +
  'data-loading-class dj-stream dj-stream-mode'
).split(' ');
/** On these elements. */
const OWN_ATTRIBUTES = /** @type {Record<string, string[]>} */ ({
  a: ['href', 'target'],
  img: ['src', 'alt', 'width', 'height'],
  td: ['colspan', 'rowspan', 'headers'],
  th: ['colspan', 'rowspan', 'headers', 'scope'],
  col: ['span'],
  colgroup: ['span'],
  ol: ['start', 'reversed', 'type'],
  li: ['value'],
  details: ['open'],
  time: ['datetime'],
  data: ['value'],
  meter: ['value', 'min', 'max', 'low', 'high', 'optimum'],
  progress: ['value', 'max'],
});
/** Hold names of elements or of classes, which get the prefix. */
const NAMES = new Set(
  (
    'id class data-loading-class headers aria-activedescendant aria-controls aria-describedby aria-details ' +
    'aria-errormessage aria-flowto aria-labelledby aria-owns'
  ).split(' '),
);
const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
const IMAGES = new Set(['http:', 'https:']);
/** Not of SVG, which is a document. */
const IMAGE_DATA = /^data:image\/(png|jpeg|gif|webp|avif);base64,/i;
/** Deeper elements are left out: a stack has an end. */
const MAX_DEPTH = 200;
/** As other sites have it, and DOMPurify. */
export const PREFIX = 'user-content-';

const ALL_ATTRIBUTES = [...new Set([...ATTRIBUTES, ...Object.values(OWN_ATTRIBUTES).flat()])];
const CONFIG = /** @type {Config & { RETURN_DOM_FRAGMENT: true }} */ ({
  ALLOWED_TAGS: ELEMENTS,
  ALLOWED_ATTR: ALL_ATTRIBUTES,
  // Others hold no address: the name of a target may have a colon in it.
  ADD_URI_SAFE_ATTR: ALL_ATTRIBUTES.filter((name) => name !== 'href' && name !== 'src'),
  ALLOW_ARIA_ATTR: true,
  ALLOW_DATA_ATTR: false,
  ALLOWED_NAMESPACES: ['http://www.w3.org/1999/xhtml'],
  FORBID_CONTENTS: HIDDEN,
  RETURN_DOM_FRAGMENT: true,
});

/** @type {DOMPurify | undefined} of our own, so that what a page sets for its own is not set for this */
let purifier;
/** What the call in hand wants. @type {{ page: Document, images: NonNullable<SanitizeOptions['images']>, prefix: string }} */
let rules;

/** @param {string} html @param {SanitizeOptions} [options] @returns {DocumentFragment} */
export function sanitize(html, { page = document, images = 'same-origin', prefix = PREFIX } = {}) {
  rules = { page, images, prefix };
  purifier ??= makePurifier();
  const fragment = purifier.sanitize(html, CONFIG);
  cutDeep(fragment);
  // Not before all is looked at: in the page's document, images would load.
  return page.importNode(fragment, true);
}

function makePurifier() {
  // Of the moment, and not of when the module was loaded: that may have been without a page.
  const made = createDOMPurify(window);
  made.addHook('uponSanitizeAttribute', (element, attribute) => {
    const value = allowed(element.localName, attribute);
    attribute.keepAttr = value !== undefined;
    attribute.attrValue = value ?? '';
  });
  made.addHook('afterSanitizeAttributes', (element) => {
    // The page that opens must not get hold of this one.
    if (element.localName === 'a') element.setAttribute('rel', 'noopener noreferrer nofollow');
  });
  return made;
}

/** What an attribute may be; undefined if it may not. @param {string} element @param {UponSanitizeAttributeHookEvent} attribute */
function allowed(element, { attrName: name, attrValue: value }) {
  const isCommon = ATTRIBUTES.includes(name) || /^aria-[a-z]+$/.test(name);
  if (!isCommon && !OWN_ATTRIBUTES[element]?.includes(name)) return undefined;
  if (NAMES.has(name)) return prefixed(value) || undefined;
  if (name === 'href') return value.startsWith('#') ? `#${prefixed(value.slice(1))}` : isLink(value, rules.page) ? value : undefined;
  if (name === 'src') return isImage(value) ? value : undefined;
  if (name === 'target') return value === '_blank' ? value : undefined;
  return value;
}

/** Names that can't be any of the page's own. @param {string} names */
function prefixed(names) {
  const { prefix } = rules;
  return names.replace(/[^\s]+/g, (name) => (name.startsWith(prefix) ? name : prefix + name));
}

/** @param {string} url */
function isImage(url) {
  const { images, page } = rules;
  if (IMAGE_DATA.test(url)) return true;
  if (images === 'data' || !hasScheme(url, IMAGES, page)) return false;
  // A foreign host would learn who looks at this, and when, and whatever the task puts into the address.
  return images === 'any' || new URL(url, page.baseURI).origin === page.location.origin;
}

/** Whether it leads to a page or a person, and is no script. @param {string} url @param {Document} [page] */
export function isLink(url, page = globalThis.document) {
  return hasScheme(url, LINKS, page);
}

/** By the parser that the browser itself uses, which knows all spellings. @param {string} url @param {Set<string>} schemes @param {Document | undefined} page */
function hasScheme(url, schemes, page) {
  const base = page?.baseURI ?? 'http://localhost/';
  return URL.canParse(url, base) && schemes.has(new URL(url, base).protocol);
}

/** @param {DocumentFragment} fragment */
function cutDeep(fragment) {
  const walker = fragment.ownerDocument.createTreeWalker(fragment, NodeFilter.SHOW_ELEMENT);
  for (let depth = 0; ; ) {
    if (depth >= MAX_DEPTH) /** @type {Element} */ (walker.currentNode).replaceChildren();
    if (walker.firstChild()) {
      depth += 1;
      continue;
    }
    while (!walker.nextSibling()) {
      if (!walker.parentNode()) return;
      depth -= 1;
    }
  }
}
