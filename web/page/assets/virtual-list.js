// A list of any length, of which only the visible rows are in the document. Rows have one height and are reused.

import { h, setAttribute, uniqueId } from "./dom.js";

/** Rows kept above and below the visible ones, so that scrolling finds them drawn. */
const OVERSCAN = 8;
/** Browsers limit an element's height to about 16 to 33 million pixels. A longer list scrolls in larger steps. */
const MAX_HEIGHT = 8_000_000;

/**
 * A list box: arrow keys, Page Up and Down, Home and End move between rows, Enter opens one. While it is scrolled to its
 * end, it follows new rows.
 */
export class VirtualList {
  /**
   * @param {{ label: string, rowHeight: number, row: () => HTMLElement, draw: (row: HTMLElement, place: number) => void,
   *   wanted?: (from: number, to: number) => void, opened?: (place: number) => void, atEnd?: (atEnd: boolean) => void }} options
   */
  constructor(options) {
    this.options = options;
    this.size = 0;
    this.active = -1;
    this.chosen = -1;
    this.sticky = true;
    this.rows = [];
    this.frame = 0;
    this.drawnHeight = 0;
    this.drawnScroll = 0;
    this.id = uniqueId("list");
    this.spacer = h("div", { class: "list-space", role: "presentation" });
    this.element = h("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": options.label }, this.spacer);
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("click", (event) => this.#click(event));
    /** Visible height and scroll position, as of the last events: reading them from the element in the middle of a frame
     * would force the browser to lay out the page again. */
    this.view = 0;
    this.scroll = 0;
    this.resized = new ResizeObserver(([entry]) => {
      // When a hidden list becomes visible, the browser may have changed its scroll position.
      if (this.view === 0) this.drawnScroll = this.element.scrollTop;
      this.view = entry.contentRect.height;
      this.update();
    });
    this.resized.observe(this.element);
  }

  close() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Sets the number of rows, and redraws once, in the next frame. */
  update(size = this.size) {
    this.size = size;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  /** The list has become visible again: restores the scroll position, which the browser may have lost. */
  shown() {
    this.element.scrollTop = this.scroll;
    this.drawnScroll = this.element.scrollTop;
    this.update();
  }

  /** Scrolls to the end and follows it. */
  toEnd() {
    this.sticky = true;
    this.update();
  }

  /** Scrolls a row into view. */
  reveal(place) {
    const top = this.#top();
    const seen = Math.max(1, Math.floor(this.view / this.options.rowHeight));
    if (place < top) this.#scrollTo(place);
    else if (place >= top + seen) this.#scrollTo(place - seen + 1);
    // A revealed row stays in view when new rows arrive.
    this.sticky &&= place === this.size - 1;
    this.update();
  }

  /** Marks a row as the one whose details are shown; -1 for none. */
  choose(place) {
    this.chosen = place;
    if (place >= 0) this.active = place;
    this.update();
  }

  get #height() {
    return Math.min(MAX_HEIGHT, this.size * this.options.rowHeight);
  }

  /** Pixels of scrolling per row. */
  get #pitch() {
    const rows = this.size - this.view / this.options.rowHeight;
    return rows > 0 ? (this.#height - this.view) / rows : this.options.rowHeight;
  }

  /** The first visible row, not rounded. */
  #top() {
    return this.scroll / this.#pitch;
  }

  #scrollTo(place) {
    this.scroll = Math.min(Math.max(0, place) * this.#pitch, Math.max(0, this.#height - this.view));
  }

  #scrolled() {
    const { scrollTop, clientHeight } = this.element;
    // Ignore events of a hidden list, and those that the list's own scrolling caused.
    if (clientHeight === 0 || Math.abs(scrollTop - this.drawnScroll) < 1) return;
    this.scroll = scrollTop;
    this.drawnScroll = this.scroll;
    // Compare with the height that was drawn; rows may have been added since.
    this.sticky = this.scroll + this.view >= this.drawnHeight - this.options.rowHeight;
    this.update();
  }

  #draw() {
    const { rowHeight } = this.options;
    const { view } = this;
    if (view === 0) return;
    const end = Math.max(0, this.#height - view);
    this.scroll = this.sticky ? end : Math.min(this.scroll, end);
    const top = this.#top();
    const from = Math.max(0, Math.floor(top) - OVERSCAN);
    const to = Math.min(this.size, Math.ceil(top + view / rowHeight) + OVERSCAN);
    this.options.wanted?.(from, to);
    while (this.rows.length < to - from) this.#addRow();
    while (this.rows.length > to - from) this.rows.pop().remove();
    // Position rows relative to the visible part, because of the larger steps of a long list.
    const base = this.scroll - top * rowHeight;
    for (let place = from; place < to; place += 1) this.#drawRow(place, base + place * rowHeight);
    const activeSeen = this.active >= from && this.active < to;
    setAttribute(this.element, "aria-activedescendant", activeSeen ? this.#rowOf(this.active).id : null);
    if (this.drawnHeight !== this.#height) {
      this.drawnHeight = this.#height;
      this.spacer.style.height = `${this.drawnHeight}px`;
    }
    // Last, because it forces a layout.
    if (this.scroll !== this.drawnScroll) this.element.scrollTop = this.scroll;
    this.drawnScroll = this.scroll;
    this.options.atEnd?.(this.scroll >= end - rowHeight);
  }

  #rowOf(place) {
    return this.rows[place % this.rows.length];
  }

  #addRow() {
    const row = this.options.row();
    row.id = `${this.id}-${this.rows.length}`;
    row.setAttribute("role", "option");
    row.classList.add("list-row");
    this.rows.push(row);
    this.spacer.append(row);
  }

  #drawRow(place, y) {
    const row = this.#rowOf(place);
    row.style.transform = `translateY(${Math.round(y)}px)`;
    row.dataset.place = String(place);
    setAttribute(row, "aria-posinset", place + 1);
    setAttribute(row, "aria-setsize", this.size);
    setAttribute(row, "aria-selected", place === this.chosen ? "true" : "false");
    row.classList.toggle("is-active", place === this.active);
    this.options.draw(row, place);
  }

  #click(event) {
    const row = event.target.closest(".list-row");
    if (!row || String(document.getSelection()) !== "") return;
    this.active = Number(row.dataset.place);
    this.options.opened?.(this.active);
    this.update();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.view / this.options.rowHeight) - 1);
    const from = this.active >= 0 ? this.active : Math.ceil(this.#top()) - 1;
    const places = {
      ArrowDown: from + 1,
      ArrowUp: from - 1,
      PageDown: from + page,
      PageUp: from - page,
      Home: 0,
      End: this.size - 1,
    };
    if (event.key in places && this.size > 0) {
      event.preventDefault();
      this.active = Math.min(this.size - 1, Math.max(0, places[event.key]));
      if (event.key === "End") this.toEnd();
      else this.reveal(this.active);
      // While an event is open, moving to a row opens it.
      if (this.chosen >= 0) this.options.opened?.(this.active);
    } else if ((event.key === "Enter" || event.key === " ") && this.active >= 0) {
      event.preventDefault();
      this.options.opened?.(this.active);
    }
  }
}
