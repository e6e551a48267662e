// Selectors of a task, in a page where its ids and classes have a prefix.

/** What a selector is made of, as far as it matters where in it an id or a class is named. */
const PARTS = /\\[^]|"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\[[^\]]*\]|([#.])((?:[-\w]|[^\0-\x7f]|\\[^])+)/g;

/**
 * The same selector, which also finds what got the prefix: a task knows its own names, and also those of the page's own
 * elements in its target. @param {string} selector @param {string} prefix
 */
export function withPrefix(selector, prefix) {
  if (!prefix) return selector;
  return selector.replace(PARTS, (part, mark, name) => (mark ? `:is(${part}, ${mark}${CSS.escape(prefix)}${name})` : part));
}
