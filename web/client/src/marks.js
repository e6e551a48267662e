// Shows the state of a target: with attributes and classes for styles and scripts, and with events.

/** @param {Element} element */
export function nameOf(element) {
  return element.getAttribute('data-stream') ?? element.getAttribute('dj-stream') ?? '';
}

/** @param {Node} node @param {string} what @param {object} detail */
export function tell(node, what, detail) {
  const stream = node instanceof Element ? nameOf(node) : '';
  node.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail: { stream, ...detail } }));
}

/** @param {Element} element */
function loadingClasses(element) {
  return (element.getAttribute('data-loading-class') ?? '').split(/\s+/).filter(Boolean);
}

/** @param {Element} element */
export function activate(element) {
  if (element.hasAttribute('data-stream-active')) return;
  element.setAttribute('data-stream-active', 'true');
  // A screen reader then reads the whole text, instead of each word as it arrives.
  element.setAttribute('aria-busy', 'true');
  for (const name of loadingClasses(element)) element.classList.add(name);
}

/** @param {Element} element */
function deactivate(element) {
  element.removeAttribute('data-stream-active');
  element.removeAttribute('aria-busy');
  for (const name of loadingClasses(element)) element.classList.remove(name);
}

/** @param {Element} element */
export function start(element) {
  clearError(element);
  activate(element);
  tell(element, 'start', {});
}

/** @param {Element} element */
export function done(element) {
  deactivate(element);
  tell(element, 'done', {});
}

/** @param {Element} element @param {string} message */
export function fail(element, message) {
  deactivate(element);
  clearError(element);
  element.setAttribute('data-stream-error', 'true');
  const note = document.createElement('div');
  note.className = 'stream-error dj-stream-error';
  note.setAttribute('role', 'alert');
  note.textContent = message;
  element.append(note);
  tell(element, 'error', { error: message });
}

/** @param {Element} element */
export function clearError(element) {
  if (!element.hasAttribute('data-stream-error')) return;
  element.removeAttribute('data-stream-error');
  for (const child of [...element.children]) if (child.matches('.stream-error[role=alert]')) child.remove();
}
