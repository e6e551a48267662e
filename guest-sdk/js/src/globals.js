// What JavaScript has of its own for waiting, made to know of the run: `setTimeout` and its kin
// wait in the host, and `fetch` says what it wants when it is refused.

const native = {
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  clearTimeout: globalThis.clearTimeout,
  clearInterval: globalThis.clearInterval,
  fetch: globalThis.fetch,
};

/** What a response can be read by as a whole. */
const READERS = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'];

/** For the time of one run, of whose timers `report` gets what they throw. Returns what undoes it. */
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
        // As in a browser: it is told, and disturbs nothing else.
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

// The engine's own `fetch` does not look at the signal while it waits.
function orAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

// A request is over when its body was read. One whose body nobody reads as a whole goes on
// until the run ends, which costs a look now and then.
function readBy(response, signal, closed) {
  if (response.body === null) closed();
  for (const name of READERS) {
    const read = response[name];
    if (typeof read !== 'function') continue;
    response[name] = () => orAborted(read.call(response), signal).finally(closed);
  }
  return response;
}

// The engine says nothing but that it failed. The host has told the log why.
function explained(error, resource, options) {
  if (!(error instanceof TypeError) || !/NetworkError/.test(error.message)) return error;
  let what = String(resource?.url ?? resource);
  let grant = 'a grant';
  try {
    const url = new URL(what);
    what = url.origin;
    grant = `[[grants.http]] host = "${url.hostname}"`;
  } catch {
    // Then it is told as it was given.
  }
  const method = String(options?.method ?? resource?.method ?? 'GET').toUpperCase();
  return new TypeError(
    `${method} ${what} failed: the server was not reached, or the task lacks ${grant}; the run's log says if it was denied`,
    { cause: error },
  );
}
