// Sanitises HTML of tasks: with DOMPurify, and with own rules where it has no settings.
//
// The HTML is parsed into a separate document, which runs and loads nothing. The result is never serialised and parsed
// again, so a second parse can't interpret it differently.
// The platform's own `setHTML` is not used, because its allow-lists are different, and differ by browser.

import createDOMPurify from 'dompurify';

/** @import { Config, DOMPurify, UponSanitizeAttributeHookEvent } from 'dompurify' */
/** @import { SanitizeOptions } from '../streamtask.d.ts' */

/** Allowed elements. */
const ELEMENTS = (
  'a abbr article aside b bdi bdo blockquote br caption cite code col colgroup data dd del details dfn div dl dt em ' +
  'figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark meter ol output p pre progress q rp ' +
  'rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr'
).split(' ');
/** Removed with their content, which is not readable text. Of other removed elements, the content stays. */
const HIDDEN = (
  'applet audio base canvas embed frame frameset head iframe link math meta noembed noframes noscript object option ' +
  'param picture plaintext script select source style svg template textarea title track video xmp'
).split(' ');
/** Allowed on every element. Without `style`, `name`, event handlers, and `data-` that scripts of the page may act upon. */
const ATTRIBUTES = (
  'id class dir lang role title data-stream data-stream-mode data-stream-format data-stream-limit data-stream-scroll ' +
  'data-loading-class dj-stream dj-stream-mode'
).split(' ');
/** Allowed on these elements. */
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
/** Attributes with IDs or class names, which get the prefix. */
const NAMES = new Set(
  (
    'id class data-loading-class headers aria-activedescendant aria-controls aria-describedby aria-details ' +
    'aria-errormessage aria-flowto aria-labelledby aria-owns'
  ).split(' '),
);
const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
const IMAGES = new Set(['http:', 'https:']);
/** Without SVG, which is a document. */
const IMAGE_DATA = /^data:image\/(png|jpeg|gif|webp|avif);base64,/i;
/** Deeper elements are removed, because the stack is limited. */
const MAX_DEPTH = 200;
/** The same as on other sites and in DOMPurify. */
export const PREFIX = 'user-content-';

const ALL_ATTRIBUTES = [...new Set([...ATTRIBUTES, ...Object.values(OWN_ATTRIBUTES).flat()])];
const CONFIG = /** @type {Config & { RETURN_DOM_FRAGMENT: true }} */ ({
  ALLOWED_TAGS: ELEMENTS,
  ALLOWED_ATTR: ALL_ATTRIBUTES,
  // Other attributes contain no URLs: for example, a target's name can contain a colon.
  ADD_URI_SAFE_ATTR: ALL_ATTRIBUTES.filter((name) => name !== 'href' && name !== 'src'),
  ALLOW_ARIA_ATTR: true,
  ALLOW_DATA_ATTR: false,
  ALLOWED_NAMESPACES: ['http://www.w3.org/1999/xhtml'],
  FORBID_CONTENTS: HIDDEN,
  RETURN_DOM_FRAGMENT: true,
});

/** @type {DOMPurify | undefined} a separate instance, so that a page's settings of its own do not affect it */
let purifier;
/** The options of the current call. @type {{ page: Document, images: NonNullable<SanitizeOptions['images']>, prefix: string }} */
let rules;

/** @param {string} html @param {SanitizeOptions} [options] @returns {DocumentFragment} */
export function sanitize(html, { page = document, images = 'same-origin', prefix = PREFIX } = {}) {
  rules = { page, images, prefix };
  purifier ??= makePurifier();
  const fragment = purifier.sanitize(html, CONFIG);
  cutDeep(fragment);
  // Only after all is sanitised: in the page's document, images would load.
  return page.importNode(fragment, true);
}

function makePurifier() {
  // The current document: the module may have been loaded without one.
  const made = createDOMPurify(window);
  made.addHook('uponSanitizeAttribute', (element, attribute) => {
    const value = allowed(element.localName, attribute);
    attribute.keepAttr = value !== undefined;
    attribute.attrValue = value ?? '';
  });
  made.addHook('afterSanitizeAttributes', (element) => {
    // The opened page must not get a reference to this one.
    if (element.localName === 'a') element.setAttribute('rel', 'noopener noreferrer nofollow');
  });
  return made;
}

/** The allowed value of an attribute; undefined if it is not allowed. @param {string} element @param {UponSanitizeAttributeHookEvent} attribute */
function allowed(element, { attrName: name, attrValue: value }) {
  const isCommon = ATTRIBUTES.includes(name) || /^aria-[a-z]+$/.test(name);
  if (!isCommon && !OWN_ATTRIBUTES[element]?.includes(name)) return undefined;
  if (NAMES.has(name)) return prefixed(value) || undefined;
  if (name === 'href') return value.startsWith('#') ? `#${prefixed(value.slice(1))}` : isLink(value, rules.page) ? value : undefined;
  if (name === 'src') return isImage(value) ? value : undefined;
  if (name === 'target') return value === '_blank' ? value : undefined;
  return value;
}

/** Prefixes names, so that they can't be the page's own. @param {string} names */
function prefixed(names) {
  const { prefix } = rules;
  return names.replace(/[^\s]+/g, (name) => (name.startsWith(prefix) ? name : prefix + name));
}

/** @param {string} url */
function isImage(url) {
  const { images, page } = rules;
  if (IMAGE_DATA.test(url)) return true;
  if (images === 'data' || !hasScheme(url, IMAGES, page)) return false;
  // Another host would learn who views the page, when, and any data that the task puts into the URL.
  return images === 'any' || new URL(url, page.baseURI).origin === page.location.origin;
}

/** Whether it is a link to a page or a person, not a script. @param {string} url @param {Document} [page] */
export function isLink(url, page = globalThis.document) {
  return hasScheme(url, LINKS, page);
}

/** Uses the browser's own URL parser, which knows all spellings. @param {string} url @param {Set<string>} schemes @param {Document | undefined} page */
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
