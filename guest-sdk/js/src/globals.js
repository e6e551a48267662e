// Adapts JavaScript's own waiting functions to the run: timers wait in the host, and `fetch` reports
// the missing grant when it is denied.

const native = {
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  clearTimeout: globalThis.clearTimeout,
  clearInterval: globalThis.clearInterval,
  fetch: globalThis.fetch,
};

/** The methods that read a whole response. */
const READERS = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'];

/** Installs them for one run; `report` receives exceptions of timers. Returns a function that undoes it. */
export function installGlobals(waiting, report) {
  Object.assign(globalThis, timers(waiting, report), { fetch: fetchFor(waiting) });
  return () => Object.assign(globalThis, native);
}

function timers(waiting, report) {
  const running = new Map();
  let last = 0;
  const begin = (callback, ms, again, args) => {
    last += 1;
    const id = last;
    const next = () => running.set(id, waiting.timer(ms, fire));
    const fire = () => {
      if (again) next();
      else running.delete(id);
      try {
        callback(...args);
      } catch (error) {
        // As in a browser: it is reported, and affects nothing else.
        report(error);
      }
    };
    next();
    return id;
  };
  const end = (id) => {
    const timer = running.get(id);
    running.delete(id);
    if (timer !== undefined) waiting.clear(timer);
  };
  return {
    setTimeout: (callback, ms, ...args) => begin(callback, ms, false, args),
    setInterval: (callback, ms, ...args) => begin(callback, Math.max(1, Number(ms) || 1), true, args),
    clearTimeout: end,
    clearInterval: end,
  };
}

function fetchFor(waiting) {
  return async function fetch(resource, options) {
    const signal = options?.signal ?? (resource instanceof Request ? resource.signal : undefined);
    signal?.throwIfAborted();
    const closed = waiting.request();
    try {
      const response = await orAborted(native.fetch.call(globalThis, resource, options), signal);
      return readBy(response, signal, closed);
    } catch (error) {
      closed();
      throw signal?.aborted ? signal.reason : explained(error, resource, options);
    }
  };
}

// The engine's own `fetch` ignores the signal while it waits.
function orAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

// A request ends when its body has been read. A request whose body is never read completely lasts
// until the run ends, which costs periodic polling.
function readBy(response, signal, closed) {
  if (response.body === null) closed();
  for (const name of READERS) {
    const read = response[name];
    if (typeof read !== 'function') continue;
    response[name] = () => orAborted(read.call(response), signal).finally(closed);
  }
  return response;
}

// The engine only reports that the request failed. The host has logged the reason.
function explained(error, resource, options) {
  if (!(error instanceof TypeError) || !/NetworkError/.test(error.message)) return error;
  let what = String(resource?.url ?? resource);
  let grant = 'a grant';
  try {
    const url = new URL(what);
    what = url.origin;
    grant = `[[grants.http]] host = "${url.hostname}"`;
  } catch {
    // Then report the URL unchanged.
  }
  const method = String(options?.method ?? resource?.method ?? 'GET').toUpperCase();
  return new TypeError(
    `${method} ${what} failed: the server was not reached, or the task lacks ${grant}; the run's log says if it was denied`,
    { cause: error },
  );
}
