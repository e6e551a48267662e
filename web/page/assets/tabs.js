// Tabs as in the ARIA Authoring Practices: arrow keys move between them.

import { h, setAttribute, setText, uniqueId } from "./dom.js";
import { count } from "./format.js";

/** @param {string} label @param {{ id: string, title: string, element: HTMLElement, shown?: () => void }[]} list `shown` is called when the tab becomes visible again */
export function tabs(label, list) {
  const prefix = uniqueId("tabs");
  let chosenByReader = false;
  const made = list.map(({ id, title, element, shown }) => {
    const number = h("span", { class: "tab-count num" });
    const tab = h("button", { type: "button", role: "tab", id: `${prefix}-${id}`, "aria-controls": `${prefix}-${id}-panel` }, title, number);
    const panel = h("div", { role: "tabpanel", id: `${prefix}-${id}-panel`, "aria-labelledby": tab.id, class: "tab-panel" }, element);
    tab.addEventListener("click", () => {
      chosenByReader = true;
      choose(id);
    });
    return { id, tab, panel, number, shown };
  });
  const bar = h("div", { role: "tablist", class: "tabs", "aria-label": label }, made.map((one) => one.tab));
  bar.addEventListener("keydown", (event) => {
    const at = made.findIndex((one) => one.tab === document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: made.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = made[(to + made.length) % made.length];
    next.tab.focus();
    next.tab.click();
  });

  function choose(id) {
    for (const one of made) {
      const isChosen = one.id === id;
      setAttribute(one.tab, "aria-selected", String(isChosen));
      one.tab.tabIndex = isChosen ? 0 : -1;
      const isShown = isChosen && one.panel.hidden;
      one.panel.hidden = !isChosen;
      if (isShown) one.shown?.();
    }
  }

  choose(list[0].id);
  return {
    element: h("div", { class: "tabbed" }, bar, made.map((one) => one.panel)),
    setCount: (id, number) => setText(made.find((one) => one.id === id).number, number > 0 ? count(number) : ""),
    /** Selects a tab, unless the user has chosen one. */
    suggest: (id) => {
      if (chosenByReader) return;
      chosenByReader = true;
      choose(id);
    },
  };
}
