// Polling of the host: only while the page is visible, one request at a time, and less often while the host does not
// respond. When it responds to one poller again, all poll at once, so that the parts of the page agree.

import { connection } from "./api.js";

/** Longest pause between two attempts, in milliseconds. */
const MAX_PAUSE_MS = 5000;

/**
 * Calls `look` now, and again `everyMs` after each call has returned. `look` throws if the host did not respond.
 * @param {(signal: AbortSignal) => Promise<number | void>} look may return a different pause, in milliseconds
 * @returns {{ now: () => void, stop: () => void }}
 */
export function poll(look, everyMs) {
  const stopped = new AbortController();
  let timer = 0;
  let busy = false;
  let again = false;
  let failures = 0;
  const next = (ms) => {
    clearTimeout(timer);
    if (!stopped.signal.aborted) timer = setTimeout(turn, ms);
  };
  const turn = async () => {
    // It polls at once when the page becomes visible again.
    if (document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    let pause = everyMs;
    try {
      pause = (await look(stopped.signal)) ?? everyMs;
      failures = 0;
    } catch (error) {
      if (stopped.signal.aborted) return;
      failures += 1;
      pause = Math.min(MAX_PAUSE_MS, everyMs * 1.6 ** failures);
      if (failures === 1) console.warn(error);
    } finally {
      busy = false;
    }
    next(again ? 0 : pause);
    again = false;
  };
  const seen = () => !document.hidden && next(0);
  const back = () => connection.reachable && failures > 0 && !busy && next(0);
  document.addEventListener("visibilitychange", seen);
  connection.addEventListener("change", back);
  turn();
  return {
    now: () => next(0),
    stop: () => {
      stopped.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      connection.removeEventListener("change", back);
    },
  };
}
