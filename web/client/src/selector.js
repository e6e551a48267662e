// Selectors of a task, for a page where the task's IDs and classes have a prefix.

/** The tokens of a selector that matter for finding its IDs and classes. */
const PARTS = /\\[^]|"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\[[^\]]*\]|([#.])((?:[-\w]|[^\0-\x7f]|\\[^])+)/g;

/**
 * Extends a selector to names with the prefix: a task knows its own names, and those of the page's own elements in its
 * target. @param {string} selector @param {string} prefix
 */
export function withPrefix(selector, prefix) {
  if (!prefix) return selector;
  return selector.replace(PARTS, (part, mark, name) => (mark ? `:is(${part}, ${mark}${CSS.escape(prefix)}${name})` : part));
}
