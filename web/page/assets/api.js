// The part of the host's HTTP API that the page uses, over the browser client. All requests pass through here, so it also
// knows whether the host responds.

import { Host, followBatches, retryNow } from "../streamtask.js";

/** Timeout of a request, in milliseconds. */
const TIMEOUT_MS = 20_000;
/** The statuses with which proxies answer for a host that is down. */
const DOWN = [502, 504];

/** Dispatches `change` when `reachable` changes: whether the host responds. */
export const connection = Object.assign(new EventTarget(), { reachable: true });

/** How far the host's clock is ahead of this one, in milliseconds. */
let clockAhead = 0;

/** The time by the host's clock, as in all timestamps. */
export const hostNow = () => Date.now() + clockAhead;

/** A response has its date to the second only, so smaller differences of the clocks are ignored. */
function compareClocks(response) {
  const ahead = Date.parse(response.headers.get("date") ?? "") - Date.now();
  if (!Number.isNaN(ahead)) clockAhead = Math.abs(ahead) > 2500 ? ahead : 0;
}

function heard(reachable) {
  if (connection.reachable === reachable) return;
  connection.reachable = reachable;
  // A connection that still waits for its retry would show a different state than the rest of the page.
  if (reachable) retryNow();
  connection.dispatchEvent(new Event("change"));
}

async function watchedFetch(url, init = {}) {
  // Streams don't end, and uploads can take long.
  const isShort = init.headers?.accept === "application/json" && !(init.body instanceof Blob);
  const limit = isShort ? [AbortSignal.timeout(TIMEOUT_MS)] : [];
  const signal = AbortSignal.any([init.signal, ...limit].filter(Boolean));
  let response;
  try {
    response = await fetch(url, { ...init, signal });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    heard(false);
    throw new TypeError("the host is not responding", { cause: error });
  }
  heard(!DOWN.includes(response.status));
  if (DOWN.includes(response.status)) throw new TypeError("the host is not responding");
  compareClocks(response);
  return response;
}

/** The host: at the page's origin, or below a path there if a proxy adds one. */
const host = new Host(new URL("..", import.meta.url), { fetch: watchedFetch });

/** The URL of a path of the host. */
export const address = (path) => host.at(path).href;

const get = (path, signal, query) => host.request("GET", path, { query, signal });
const part = encodeURIComponent;
const runPath = (id) => `/api/runs/${part(id)}`;

export const tasks = (signal) => get("/api/tasks", signal);
export const task = (app, name, signal) => get(`/api/tasks/${part(app)}/${part(name)}`, signal);
export const runs = (query, signal) => get("/api/runs", signal, query);
/** The response with the stream of runs, if the host supports it. */
export const runStream = (query, signal) => host.open("GET", "/api/runs", { query, headers: { accept: "application/x-ndjson" }, signal });
export const run = (id, signal) => get(runPath(id), signal);
export const children = (id, signal) => get(`${runPath(id)}/children`, signal);
export const files = (id, signal) => get(`${runPath(id)}/files`, signal);
export const parameters = (id, signal) => get(`${runPath(id)}/parameters`, signal);
export const cancel = (id) => host.request("POST", `${runPath(id)}/cancel`);
export const pause = (id) => host.request("POST", `${runPath(id)}/pause`);
export const resume = (id) => host.request("POST", `${runPath(id)}/resume`);
export const remove = (id) => host.request("DELETE", runPath(id));
export const signal = (id, name, body) => host.request("POST", `${runPath(id)}/signals/${part(name)}`, { body });
export const setParameter = (id, name, body) => host.request("PUT", `${runPath(id)}/parameters/${part(name)}`, { body });

/** Starts a run, exactly once even if the response is lost. Returns its ID. */
export async function start(app, name, input, options) {
  return (await host.start(`${app}/${name}`, input, options)).id;
}

/** Starts a new run with the input of an ended one. Returns its ID. */
export const retry = async (id) => (await host.run(id).retry()).id;

/** Uploads a task's file. Returns `created`, `replaced`, or `accepted` if the host has not loaded it yet. */
export const putTask = (app, name, file, signal) => host.putTask(`${app}/${name}`, file, { signal });

/** Deletes a task's file from the host's tasks folder. */
export const removeTask = (app, name) => host.request("DELETE", `/api/tasks/${part(app)}/${part(name)}`);

/**
 * The events of a run after a given one until its end, in batches, across lost connections. Nothing is buffered for a slow
 * consumer: the next batch is read only when it is requested.
 * @param {string} stream the run's `stream`
 */
export const batches = (stream, after, options) => followBatches(stream, { host, after, ...options });

/** Retries lost connections now. */
export { retryNow };

/** The status of a run's stream: `last_seq` is the number of its newest event. */
export const streamStatus = (stream, signal) => get(`${stream}/status`, signal);

/**
 * A page of a run's stored events.
 * @param {number} after the number before the first
 * @returns {Promise<{ events: any[], gapTo: number }>} up to `gapTo`, events are no longer stored
 */
export async function page(stream, after, count, signal) {
  const events = [];
  let gapTo = 0;
  for await (const batch of batches(stream, after, { signal })) {
    for (const event of batch) {
      if (event.seq !== undefined) events.push(event);
      else gapTo = event.data.to ?? gapTo;
    }
    if (events.length >= count || events.at(-1)?.seq >= after + count) break;
  }
  return { events: events.slice(0, count), gapTo };
}
