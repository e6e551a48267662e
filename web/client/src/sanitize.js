// Html of a task, made harmless.
//
// It is parsed into a document of its own, which runs and loads nothing, and only what is on the
// lists below is copied, node by node, into fresh elements. What is parsed is never written out
// and parsed again, so no second reading can find in it what the first one did not.
// The platform's own `setHTML` is not used: its lists are others, and differ by browser.

/** Kept, as they are. */
const ELEMENTS = new Set(
  (
    'a abbr article aside b bdi bdo blockquote br caption cite code col colgroup data dd del details dfn div dl dt em ' +
    'figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark meter ol output p pre progress q rp ' +
    'rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr'
  ).split(' '),
);
/** Left out with all that is in them: what they hold is no text to read. Others are left out, and what is in them stays. */
const HIDDEN = new Set(
  (
    'applet audio base canvas embed frame frameset head iframe link math meta noembed noframes noscript object option ' +
    'param picture plaintext script select source style svg template textarea title track video xmp'
  ).split(' '),
);
/** On every element. Without `style`, `name`, event handlers, and `data-` that scripts of the page may act upon. */
const ATTRIBUTES = new Set(
  (
    'class dir lang role title data-stream data-stream-mode data-stream-format data-stream-limit data-stream-scroll ' +
    'data-loading-class dj-stream dj-stream-mode'
  ).split(' '),
);
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
const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
const IMAGES = new Set(['http:', 'https:']);
/** Not of SVG, which is a document. */
const IMAGE_DATA = /^data:image\/(png|jpeg|gif|webp|avif);base64,/i;
/** Deeper elements are left out: a stack has an end. */
const MAX_DEPTH = 200;

/** @param {string} html @param {Document} [page] @returns {DocumentFragment} */
export function sanitize(html, page = document) {
  const parsed = new DOMParser().parseFromString(html, 'text/html');
  const fragment = page.createDocumentFragment();
  copyChildren(parsed.body, fragment, page, 0);
  return fragment;
}

/** @param {Node} from @param {Node} to @param {Document} page @param {number} depth */
function copyChildren(from, to, page, depth) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.appendChild(page.createTextNode(node.nodeValue ?? ''));
    else if (node instanceof Element && depth < MAX_DEPTH) copyElement(node, to, page, depth + 1);
  }
}

/** @param {Element} from @param {Node} to @param {Document} page @param {number} depth */
function copyElement(from, to, page, depth) {
  const name = from.localName;
  // Elements of SVG and MathML can have the names of harmless ones.
  if (HIDDEN.has(name) || from.namespaceURI !== 'http://www.w3.org/1999/xhtml') return;
  if (!ELEMENTS.has(name)) return copyChildren(from, to, page, depth);
  const copy = page.createElement(name);
  for (const { name: attribute, value } of from.attributes) {
    if (isAllowed(name, attribute, value, page)) copy.setAttribute(attribute, value);
  }
  // The page that opens must not get hold of this one.
  if (name === 'a') copy.setAttribute('rel', 'noopener noreferrer nofollow');
  copyChildren(from, copy, page, depth);
  to.appendChild(copy);
}

/** @param {string} element @param {string} name @param {string} value @param {Document} page */
function isAllowed(element, name, value, page) {
  // An element with such an id would stand in for a property of the document.
  if (name === 'id') return value !== '' && !(value in page);
  if (ATTRIBUTES.has(name) || /^aria-[a-z]+$/.test(name)) return true;
  if (!OWN_ATTRIBUTES[element]?.includes(name)) return false;
  if (name === 'href') return isLink(value, page);
  if (name === 'src') return hasScheme(value, IMAGES, page) || IMAGE_DATA.test(value);
  if (name === 'target') return value === '_blank';
  return true;
}

/** Whether it leads to a page or a person, and is no script. @param {string} url @param {Document} [page] */
export function isLink(url, page = document) {
  return hasScheme(url, LINKS, page);
}

/** By the parser that the browser itself uses, which knows all spellings. @param {string} url @param {Set<string>} schemes @param {Document} page */
function hasScheme(url, schemes, page) {
  return URL.canParse(url, page.baseURI) && schemes.has(new URL(url, page.baseURI).protocol);
}
