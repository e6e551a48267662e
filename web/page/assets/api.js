// The host's HTTP API, as far as the page needs it, over the client that all pages can use. All requests come by here,
// so it also knows whether the host answers.

import { Host, followBatches, retryNow } from "../streamtask.js";

/** A request waits this long for an answer, in milliseconds. */
const TIMEOUT_MS = 20_000;
/** What proxies say of a host that is down. */
const DOWN = [502, 504];

/** Dispatches `change` when the host begins or stops to answer; `reachable` says which. */
export const connection = Object.assign(new EventTarget(), { reachable: true });

/** How far the host's clock is ahead of this one, in milliseconds. */
let clockAhead = 0;

/** The time by the host's clock, which all its timestamps are by. */
export const hostNow = () => Date.now() + clockAhead;

/** An answer says the second in which it was made; clocks that agree that far agree. */
function compareClocks(response) {
  const ahead = Date.parse(response.headers.get("date") ?? "") - Date.now();
  if (!Number.isNaN(ahead)) clockAhead = Math.abs(ahead) > 2500 ? ahead : 0;
}

function heard(reachable) {
  if (connection.reachable === reachable) return;
  connection.reachable = reachable;
  // Whatever waits longer than the one who heard it would show another state than the rest of the page.
  if (reachable) retryNow();
  connection.dispatchEvent(new Event("change"));
}

async function watchedFetch(url, init = {}) {
  // A stream has no end, and a file takes its time.
  const isShort = init.headers?.accept === "application/json" && !(init.body instanceof Blob);
  const limit = isShort ? [AbortSignal.timeout(TIMEOUT_MS)] : [];
  const signal = AbortSignal.any([init.signal, ...limit].filter(Boolean));
  let response;
  try {
    response = await fetch(url, { ...init, signal });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    heard(false);
    throw new TypeError("the host does not answer", { cause: error });
  }
  heard(!DOWN.includes(response.status));
  if (DOWN.includes(response.status)) throw new TypeError("the host does not answer");
  compareClocks(response);
  return response;
}

/** Where the host is: at the page's origin, or below a path of it if a proxy has it there. */
const host = new Host(new URL("..", import.meta.url), { fetch: watchedFetch });

/** The whole address of a path of the host. */
export const address = (path) => host.at(path).href;

const get = (path, signal, query) => host.request("GET", path, { query, signal });
const part = encodeURIComponent;
const runPath = (id) => `/api/runs/${part(id)}`;

export const tasks = (signal) => get("/api/tasks", signal);
export const task = (app, name, signal) => get(`/api/tasks/${part(app)}/${part(name)}`, signal);
export const runs = (query, signal) => get("/api/runs", signal, query);
/** The answer that tells of runs as they change, if the host knows how to. */
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

/** Starts a run, once, also where an answer is lost. Returns its id. */
export async function start(app, name, input, options) {
  return (await host.start(`${app}/${name}`, input, options)).id;
}

/** Starts a run like one that has ended, with the same input. Returns its id. */
export const retry = async (id) => (await host.run(id).retry()).id;

/** Puts a task's file where the host loads it from. Returns `created`, `replaced` or `accepted`: it is not loaded yet. */
export const putTask = (app, name, file, signal) => host.putTask(`${app}/${name}`, file, { signal });

/** Takes a task's file out of where the host loads it from. */
export const removeTask = (app, name) => host.request("DELETE", `/api/tasks/${part(app)}/${part(name)}`);

/**
 * What a run says after that event, in lists of what came together, over lost connections, until its end. Who does not
 * ask for the next list holds the stream back, so nothing piles up here.
 * @param {string} stream the run's `stream`
 */
export const batches = (stream, after, options) => followBatches(stream, { host, after, ...options });

/** Tries lost connections again now. */
export { retryNow };

/** How a run's stream stands: `last_seq` is the number of its newest event. */
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
