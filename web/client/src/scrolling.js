// Staying at the end of what grows, if that is where the reader is.

/** As near to the bottom as this counts as there. */
const NEAR_PX = 100;

/** Remembers which of the boxes around some elements stand at their end. */
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
      // Smoothly, it would lag behind and then no longer be near.
      if (box.isConnected) box.scrollTo({ top: box.scrollHeight, behavior: 'instant' });
    }
  }
}

/**
 * What scrolls when the element grows: itself or a box around it. The page as a whole only if the element asks for
 * it, for there may be much below.
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
