// Runs as the host tells of them: a snapshot of the newest, then each change. It can't be resumed; who comes back gets
// another snapshot.

import * as api from "./api.js";

/** The host is asked for a sign of life after so many seconds of silence; some proxies close at 30. */
const HEARTBEAT_SECONDS = 15;
/** After so long without one, in milliseconds, the connection counts as dead. */
const SILENCE_MS = 37_500;
/** The host speaks as soon as the stream opens. Who holds that back for so long holds all back. */
const OPEN_MS = 10_000;

/** There is no stream to be had here: the host is an older one, or a proxy holds it back. */
export class NoStream extends Error {}

/**
 * @param {Record<string, any>} query as of a list of runs
 * @param {AbortSignal} outer
 * @returns {AsyncGenerator<{ type: string, data?: any }[]>} what came together
 */
export async function* runStream(query, outer) {
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  let timer = 0;
  const expect = (ms, what) => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(what), ms);
  };
  try {
    expect(OPEN_MS, new NoStream("a stream of runs is held back"));
    const response = await api.runStream({ ...query, heartbeat: HEARTBEAT_SECONDS }, signal);
    if (!response.headers.get("content-type")?.startsWith("application/x-ndjson")) throw new NoStream("the host has no stream of runs");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      expect(SILENCE_MS, new Error("nothing came of the runs"));
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      const said = lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
      if (said.length > 0) yield said;
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/**
 * Ends with `outer`, and when nobody looks at the page: a browser has only six connections for all its tabs.
 * @returns {{ signal: AbortSignal, close: () => void }}
 */
export function whileSeen(outer) {
  const hidden = new AbortController();
  const look = () => document.hidden && hidden.abort();
  document.addEventListener("visibilitychange", look);
  return {
    signal: AbortSignal.any([outer, hidden.signal]),
    close: () => document.removeEventListener("visibilitychange", look),
  };
}
