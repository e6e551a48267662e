// Pauses, and their interruption.

/** The first pause after a failure unless the host requests another; each further one is twice as long. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/**
 * A pause, randomly up to half shorter, so that not all clients reconnect at the same time.
 * @param {number} failures @param {number} [firstMs] @param {number} [leastMs]
 */
export function backoff(failures, firstMs = RETRY_MS, leastMs = 0) {
  const longest = Math.min(firstMs * 2 ** failures, MAX_RETRY_MS);
  return Math.max(leastMs, longest * (1 - Math.random() / 2));
}

/** A callback for each pause that can be interrupted. @type {Set<() => void>} */
const waiting = new Set();

/** Ends all pauses that can be interrupted. */
export function retryNow() {
  for (const over of [...waiting]) over();
}

/**
 * Waits. Ends early if the page wakes up, and on `retryNow` unless the host requested this pause.
 * @param {number} ms @param {{ signal?: AbortSignal, isAskedFor?: boolean }} [options] @returns {Promise<void>}
 */
export function pause(ms, { signal, isAskedFor = false } = {}) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      forget();
      waiting.delete(over);
      signal?.removeEventListener('abort', over);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, ms);
    const forget = onWake(over);
    if (!isAskedFor) waiting.add(over);
    signal?.addEventListener('abort', over);
    if (signal?.aborted) over();
  });
}

/** Calls back when the page may have slept or the network has changed; returns a function that stops that. @param {(isOnline: boolean) => void} callback */
export function onWake(callback) {
  const page = globalThis.document;
  if (!page) return () => {};
  const online = () => callback(true);
  const awake = () => page.visibilityState === 'visible' && callback(false);
  globalThis.addEventListener('online', online);
  globalThis.addEventListener('pageshow', awake);
  page.addEventListener('visibilitychange', awake);
  return () => {
    globalThis.removeEventListener('online', online);
    globalThis.removeEventListener('pageshow', awake);
    page.removeEventListener('visibilitychange', awake);
  };
}
