// The theme: light, dark, or the system's.

import { fill, icon } from "./dom.js";

const KEY = "streamtask-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const ICON = { auto: "auto", light: "sun", dark: "moon" };

/** Makes `button` change the theme, and applies the one chosen before. */
export function themeButton(button) {
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const label = `Theme: ${theme}. Change to ${NEXT[theme]}`;
    button.setAttribute("aria-label", label);
    button.title = label;
    fill(button, icon(ICON[theme]));
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // The browser blocks storage for this page; use the system's theme.
  }
  if (!(theme in NEXT)) theme = "auto";
  apply(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    apply(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The theme then lasts until the page is left.
    }
  });
}
