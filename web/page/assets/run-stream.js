// The stream of runs: a snapshot of the newest, then each change. It can't be resumed; a new connection gets a new
// snapshot.

import * as api from "./api.js";

/** Interval of the host's heartbeats, in seconds; some proxies close a connection after 30 s of silence. */
const HEARTBEAT_SECONDS = 15;
/** A connection without data for this long, in milliseconds, counts as dead. */
const SILENCE_MS = 37_500;
/** The host writes as soon as the stream opens. A proxy that delays that for this long, in milliseconds, buffers everything. */
const OPEN_MS = 10_000;

/** Streaming is not available: the host is too old, or a proxy buffers the stream. */
export class NoStream extends Error {}

/**
 * @param {Record<string, any>} query the query parameters of a list of runs
 * @param {AbortSignal} outer
 * @returns {AsyncGenerator<{ type: string, data?: any }[]>} batches of messages
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
    expect(OPEN_MS, new NoStream("the stream of runs did not open in time"));
    const response = await api.runStream({ ...query, heartbeat: HEARTBEAT_SECONDS }, signal);
    if (!response.headers.get("content-type")?.startsWith("application/x-ndjson")) throw new NoStream("the host does not stream runs");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      expect(SILENCE_MS, new Error("no heartbeat on the stream of runs"));
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
 * A signal that aborts with `outer` and when the page is hidden: a browser has only six connections for all tabs.
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
