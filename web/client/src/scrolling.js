// Keeps growing elements scrolled to their end, if they were there before.

/** Pixels from the bottom that count as the bottom. */
const NEAR_PX = 100;

/** Records which scroll containers of some elements are scrolled to their end. */
export class Scrolling {
  /** @type {Set<Element>} */
  #atEnd = new Set();

  /** @param {Element[]} elements */
  constructor(elements) {
    const seen = new Set();
    for (const element of new Set(elements)) {
      const box = boxOf(element);
      if (!box || seen.has(box)) continue;
      seen.add(box);
      if (box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX) this.#atEnd.add(box);
    }
  }

  restore() {
    for (const box of this.#atEnd) {
      // Smooth scrolling would lag behind, and the end would no longer be near.
      if (box.isConnected) box.scrollTo({ top: box.scrollHeight, behavior: 'instant' });
    }
  }
}

/**
 * The scroll container that an element grows in: itself or one around it. The whole page only if the element requests it,
 * because there may be more content below.
 * @param {Element} element
 */
function boxOf(element) {
  const wish = element.closest('[data-stream-scroll]')?.getAttribute('data-stream-scroll');
  if (wish === 'none') return undefined;
  if (wish === 'page') return element.ownerDocument.scrollingElement ?? undefined;
  const { body, documentElement } = element.ownerDocument;
  for (let box = /** @type {Element | null} */ (element); box && box !== body && box !== documentElement; box = box.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(box).overflowY)) return box;
  }
  return undefined;
}
