// The event type `view`, which updates a web page.

export class View {
  #send;

  constructor(send) {
    this.#send = (op, rest) => send('view', { op, ...rest });
  }

  text(target, text, { mode } = {}) {
    this.#send('text', { target, text, mode });
  }

  html(target, html) {
    this.#send('html', { target, html });
  }

  insert(target, html, { at } = {}) {
    this.#send('insert', { target, html, at });
  }

  remove(target, selector) {
    this.#send('remove', { target, selector });
  }

  prune(target, limit, { edge } = {}) {
    this.#send('prune', { target, limit, edge });
  }

  start(target) {
    this.#send('start', { target });
  }

  done(target) {
    this.#send('done', { target });
  }

  error(target, message) {
    this.#send('error', { target, message });
  }

  state(state) {
    this.#send('state', { state });
  }
}
