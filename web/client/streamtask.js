// streamtask: a client for browsers and programs. Made of src/ by `npm run build`; not to be edited.
// Apache-2.0 OR MIT


// errors.js
var PASSING = /* @__PURE__ */ new Set([408, 425, 429, 500, 502, 503, 504]);
var HostError = class _HostError extends Error {
  name = "HostError";
  /** @param {number} status @param {Record<string, any>} problem @param {number} [retryAfterMs] */
  constructor(status, problem, retryAfterMs) {
    super(problem.detail ?? problem.title ?? `the host answered with status ${status}`);
    this.status = status;
    this.kind = String(problem.type ?? "").replace("urn:streamtask:problem:", "");
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
  /** @param {Response} response */
  static async of(response) {
    const problem = await response.json().catch(() => ({}));
    const after = response.headers.get("retry-after");
    const seconds = after === null ? NaN : Number(after);
    const wait = Number.isNaN(seconds) ? Date.parse(after ?? "") - Date.now() : seconds * 1e3;
    return new _HostError(response.status, problem ?? {}, wait > 0 ? wait : void 0);
  }
};
var RunError = class extends Error {
  name = "RunError";
  /** @param {RunInfo} run */
  constructor(run) {
    super(run.error?.message ?? `the run was ${run.status}`);
    this.run = run;
    this.status = run.status;
    this.kind = run.error?.kind;
    this.code = run.error?.code;
  }
};
function mayPass(error) {
  return !(error instanceof HostError) || PASSING.has(error.status);
}
function retryAfter(error) {
  return error instanceof HostError ? error.retryAfterMs : void 0;
}

// address.js
var Address = class {
  /** @param {string | URL} [url] @param {HostOptions} [options] */
  constructor(url = ownHost(), options = {}) {
    if (!url || url === "null") throw new TypeError("outside of a page the address of the host is needed");
    this.url = new URL(url, globalThis.location?.href);
    this.options = options;
  }
  /** Where a path of the host is; below the host's own, if a proxy has it under one. @param {string} path @param {Query} [query] */
  at(path, query = {}) {
    const url = new URL(this.url.origin + this.url.pathname.replace(/\/+$/, "") + path);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== void 0) url.searchParams.append(name, String(one));
    }
    return url;
  }
  /** Headers may hold a token, which is nobody else's business. @param {URL} url */
  check(url) {
    if (url.origin !== this.url.origin) throw new TypeError(`${url.origin} is not the host ${this.url.origin}`);
  }
  /** @param {URL} url @param {RequestInit & { headers?: Record<string, string> }} [init] */
  async fetch(url, init = {}) {
    this.check(url);
    const { headers, fetch = globalThis.fetch, credentials } = this.options;
    const own = typeof headers === "function" ? await headers() : headers;
    return fetch(url, { cache: "no-store", credentials, ...init, headers: { ...own, ...init.headers } });
  }
  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async open(method, path, { query, body, headers, signal } = {}) {
    const isJson = body !== void 0 && !isBytes(body);
    const type = isJson ? { "content-type": "application/json" } : void 0;
    const sent = (
      /** @type {BodyInit | undefined} */
      isJson ? JSON.stringify(body) : body
    );
    const init = { method, body: sent, headers: { accept: "application/json", ...type, ...headers }, signal };
    const response = await this.fetch(this.at(path, query), init);
    if (!response.ok) throw await HostError.of(response);
    return response;
  }
  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async request(method, path, options) {
    const text2 = await (await this.open(method, path, options)).text();
    return text2 ? JSON.parse(text2) : void 0;
  }
};
function isBytes(body) {
  return body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
}
function ownHost() {
  const script = URL.canParse(import.meta.url ?? "") ? new URL(import.meta.url) : void 0;
  const isServed = script && /^https?:$/.test(script.protocol) && script.pathname === "/streamtask.js";
  return isServed ? script.origin : globalThis.location?.origin;
}

// frames.js
var MAX_LINE_CHARS = 64 << 20;
var Frames = class {
  /** @type {number | undefined} */
  retryMs;
  #decoder = new TextDecoder();
  #rest = "";
  /** @type {string[]} */
  #data = [];
  /** The data of each event that is complete. @param {Uint8Array} bytes */
  take(bytes) {
    const text2 = this.#decoder.decode(bytes, { stream: true });
    const whole = [];
    let from = 0;
    for (let end = text2.indexOf("\n"); end >= 0; end = text2.indexOf("\n", from)) {
      this.#line(this.#rest + text2.slice(from, end), whole);
      this.#rest = "";
      from = end + 1;
    }
    this.#rest += text2.slice(from);
    if (this.#rest.length > MAX_LINE_CHARS) throw new Error("a line of the stream never ends");
    return whole;
  }
  /** @param {string} line @param {string[]} whole */
  #line(line, whole) {
    const text2 = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text2 === "") {
      if (this.#data.length) whole.push(this.#data.splice(0).join("\n"));
      return;
    }
    const colon = text2.indexOf(":");
    const field = colon < 0 ? text2 : text2.slice(0, colon);
    const value = colon < 0 ? "" : text2.slice(text2[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
};

// pauses.js
var RETRY_MS = 1e3;
var MAX_RETRY_MS = 3e4;
function backoff(failures, firstMs = RETRY_MS, leastMs = 0) {
  const longest = Math.min(firstMs * 2 ** failures, MAX_RETRY_MS);
  return Math.max(leastMs, longest * (1 - Math.random() / 2));
}
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      forget();
      signal?.removeEventListener("abort", over);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, ms);
    const forget = onWake(over);
    signal?.addEventListener("abort", over);
    if (signal?.aborted) over();
  });
}
function onWake(callback) {
  const page = globalThis.document;
  if (!page) return () => {
  };
  const online = () => callback(true);
  const awake = () => page.visibilityState === "visible" && callback(false);
  globalThis.addEventListener("online", online);
  globalThis.addEventListener("pageshow", awake);
  page.addEventListener("visibilitychange", awake);
  return () => {
    globalThis.removeEventListener("online", online);
    globalThis.removeEventListener("pageshow", awake);
    page.removeEventListener("visibilitychange", awake);
  };
}

// watchdog.js
var LOOK_MS = 5e3;
var Silence = class extends Error {
  heard = false;
};
var Watchdog = class {
  #stop = new AbortController();
  #since = NaN;
  #patienceMs = 0;
  #heard = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #onAbort = () => this.#stop.abort(this.outer?.reason);
  #forget = onWake((isOnline) => isOnline ? this.#stop.abort(new Error("the network changed")) : this.#look());
  /** @param {AbortSignal} [outer] */
  constructor(outer) {
    this.outer = outer;
    this.signal = this.#stop.signal;
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener("abort", this.#onAbort);
  }
  /** Something shall come within so many milliseconds. @param {number} patienceMs */
  expect(patienceMs) {
    this.#since = Date.now();
    if (patienceMs === this.#patienceMs) return;
    this.#patienceMs = patienceMs;
    clearInterval(this.#timer);
    if (patienceMs > 0 && patienceMs < 2 ** 31) this.#timer = setInterval(() => this.#look(), Math.min(patienceMs / 4, LOOK_MS));
  }
  /** It came. While nobody reads, silence says nothing. */
  rest() {
    this.#since = NaN;
    this.#heard = true;
  }
  #look() {
    if (this.#since > Date.now()) this.#since = Date.now();
    if (this.#patienceMs > 0 && Date.now() - this.#since > this.#patienceMs) {
      const silence = new Silence(`nothing came for ${Math.round(this.#patienceMs / 1e3)} seconds`);
      silence.heard = this.#heard;
      this.#stop.abort(silence);
    }
  }
  close() {
    clearInterval(this.#timer);
    this.#forget();
    this.outer?.removeEventListener("abort", this.#onAbort);
    this.#stop.abort();
  }
};

// line.js
var HEARTBEAT_SECONDS = 15;
var SILENCE_HEARTBEATS = 2.5;
var OPEN_MS = 1e4;
var MUTE_CONNECTIONS = 2;
var POLL_MS = 2e3;
var POLLS_IN_A_ROW = 150;
var WHOLE_MS = 3e5;
var PIECE_BYTES = 32 << 10;
var Line = class {
  /** Whether the host said that nothing will ever follow. */
  ended = false;
  /** @type {number | undefined} the pause that the host asks for */
  retryMs;
  /** Whether what comes between two moments may come as one. */
  joins = true;
  #mute = 0;
  #polls = 0;
  /** Polls that were given up for want of a byte. */
  #mutePolls = 0;
  /** @type {number | undefined} where it begins, if the first poll had to find that out */
  #begin;
  /** @type {Address} */
  #host;
  /** @type {URL | undefined} known at once, or when the run has been asked for */
  #url;
  #id = "";
  /** @param {Target} target @param {FollowOptions} options */
  constructor(target, options) {
    const own = typeof target === "object" && "host" in target ? target.host : void 0;
    const given = own instanceof Address ? own : options.host;
    const isAddress = target instanceof URL || typeof target === "string" && /[/:]/.test(target);
    const whole = isAddress && URL.canParse(String(target)) ? new URL(String(target)) : void 0;
    this.options = options;
    this.#host = given instanceof Address ? given : new Address(
      /** @type {string | URL | undefined} */
      given ?? whole?.origin
    );
    if (isAddress) this.#url = whole ?? this.#host.at(String(target));
    else if (typeof target === "string") this.#id = target;
    else if ("stream" in target && target.stream) this.#url = this.#host.at(target.stream);
    else this.#id = /** @type {{ id: string }} */
    target.id;
    if (this.#url) this.#host.check(this.#url);
  }
  /** Whether every number of the log is expected. */
  get isWhole() {
    const { types, channels } = this.options;
    return !types && !channels && !this.#url?.searchParams.has("types") && !this.#url?.searchParams.has("channel");
  }
  get isPolling() {
    return this.#mute >= MUTE_CONNECTIONS;
  }
  /** @param {number | undefined} last @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *read(last) {
    await this.#locate();
    let after = last ?? this.#begin;
    if (!this.isPolling) return yield* this.#stream(after);
    this.#polls += 1;
    if (this.#polls >= POLLS_IN_A_ROW) this.#mute = this.#polls = 0;
    const wholeMs = Math.min((this.options.openMs ?? OPEN_MS) * 2 ** this.#mutePolls, WHOLE_MS);
    try {
      if (after === void 0 && this.options.from === "now") after = this.#begin = await this.#now();
      yield* this.#connection(after, { live: false }, wholeMs, wholeMs);
      this.#mutePolls = 0;
    } catch (error) {
      if (error instanceof Silence && !error.heard) this.#mutePolls += 1;
      throw error;
    }
  }
  /** @param {number | undefined} after @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *#stream(after) {
    const heartbeat = this.options.heartbeatSeconds ?? HEARTBEAT_SECONDS;
    const silenceMs = heartbeat * SILENCE_HEARTBEATS * 1e3;
    try {
      yield* this.#connection(after, { heartbeat }, this.options.openMs ?? OPEN_MS, silenceMs);
    } catch (error) {
      if (error instanceof Silence && !error.heard) this.#mute += 1;
      else this.#mute = 0;
      throw error;
    }
  }
  async #locate() {
    if (this.#url) return;
    const path = `/api/runs/${encodeURIComponent(this.#id)}`;
    const run = await this.#host.request("GET", path, { signal: this.#patience() });
    this.#url = this.#host.at(run.stream);
  }
  /**
   * The last event that there is. Each poll has a `now` of its own, and would leave out what came since the last.
   * @returns {Promise<number>}
   */
  async #now() {
    const url = new URL(
      /** @type {URL} */
      this.#url
    );
    url.pathname += "/status";
    url.search = "";
    const response = await this.#host.fetch(url, { headers: { accept: "application/json" }, signal: this.#patience() });
    if (!response.ok) throw await HostError.of(response);
    return (await response.json()).last_seq;
  }
  /** @param {number | undefined} after @param {Query} more */
  #address(after, more) {
    const { types, channels, tail, from, intervalMs: interval } = this.options;
    const url = new URL(
      /** @type {URL} */
      this.#url
    );
    url.searchParams.delete("envelope");
    const place = after === void 0 ? { tail, from } : { after };
    for (const [name, value] of Object.entries({ types, channel: channels, interval, ...place, ...more })) {
      if (value !== void 0) url.searchParams.set(name, String(value));
    }
    if (!this.joins) url.searchParams.delete("interval");
    return url;
  }
  /** For an answer that has an end. */
  #patience() {
    const timeout = AbortSignal.timeout(this.options.openMs ?? OPEN_MS);
    return this.options.signal ? AbortSignal.any([this.options.signal, timeout]) : timeout;
  }
  /**
   * One connection, until it ends or is lost; gives `open` at the first byte.
   * @param {number | undefined} after @param {Query} query @param {number} openMs @param {number} silenceMs
   * @returns {AsyncGenerator<string[] | 'open', void, undefined>}
   */
  async *#connection(after, query, openMs, silenceMs) {
    const watchdog = new Watchdog(this.options.signal);
    try {
      watchdog.expect(openMs);
      const headers = { accept: "text/event-stream" };
      if (after) headers["last-event-id"] = String(after);
      const response = await this.#host.fetch(this.#address(after, query), { headers, signal: watchdog.signal });
      if (response.status === 204) {
        this.ended = true;
        return;
      }
      if (!response.ok) throw await HostError.of(response);
      const type = response.headers.get("content-type") ?? "nothing";
      if (!type.startsWith("text/event-stream") || !response.body) {
        throw new Error(`instead of a stream came ${type}; something stands between here and the host`);
      }
      const reader = response.body.getReader();
      const frames = new Frames();
      for (let isFirst = true; ; isFirst = false) {
        watchdog.expect(isFirst ? openMs : silenceMs);
        const { done: done2, value } = await reader.read();
        watchdog.rest();
        if (done2) return;
        if (isFirst) {
          this.#mute = this.isPolling ? this.#mute : 0;
          yield "open";
        }
        for (let at = 0; at < value.length; at += PIECE_BYTES) {
          const whole = frames.take(value.subarray(at, at + PIECE_BYTES));
          this.retryMs = frames.retryMs;
          yield whole;
        }
      }
    } finally {
      watchdog.close();
    }
  }
};

// log.js
var ENDS = /* @__PURE__ */ new Set(["run.completed", "run.failed", "run.cancelled"]);
function isEnd(event) {
  return event.seq !== void 0 && ENDS.has(event.type);
}
var Overlap = class extends Error {
};
var Log = class {
  ended = false;
  /** @type {Error | undefined} what is wrong with the connection, after the events that were good */
  fault;
  /** Where events were missing: a connection may have lost them, a log that has them not will never say more. */
  #missing = NaN;
  /** @param {number | undefined} after @param {boolean} isWhole whether each number is expected */
  constructor(after, isWhole) {
    this.last = after;
    this.isWhole = isWhole;
  }
  /** @param {string[]} frames */
  take(frames) {
    this.fault = void 0;
    const events = [];
    for (const frame of frames) {
      try {
        this.#takeOne(JSON.parse(frame), events);
      } catch (error) {
        this.fault = error instanceof Overlap ? error : new Error("the stream is damaged", { cause: error });
      }
      if (this.fault || this.ended) break;
    }
    return events;
  }
  /** @param {StreamEvent | Notice} event @param {(StreamEvent | Notice)[]} events */
  #takeOne(event, events) {
    if (event.seq === void 0) {
      if (event.type !== "gap") return;
      if (event.data.reason === "unknown-position") this.last = 0;
      else this.last = Math.max(this.last ?? 0, event.data.to ?? 0);
      events.push(event);
      return;
    }
    const first = firstOf(event);
    const last = this.last ?? first - 1;
    if (event.seq <= last) return;
    if (first <= last) throw new Overlap(`the events ${first} to ${event.seq} came as one, after ${last} had come`);
    if (this.isWhole && first > last + 1) {
      if (this.#missing !== last) {
        this.#missing = last;
        this.fault = new Error(`events ${last + 1} to ${first - 1} did not come`);
        return;
      }
      events.push({ type: "gap", data: { from: last + 1, to: first - 1, reason: "missing" } });
    }
    this.last = event.seq;
    this.ended = isEnd(event);
    events.push(event);
  }
};
function firstOf({ seq, first_seq: first = seq }) {
  const isRange = Number.isSafeInteger(seq) && Number.isSafeInteger(first) && first > 0 && first <= seq;
  if (!isRange) throw new TypeError("an event has no number");
  return first;
}

// follow.js
async function* follow(target, options) {
  for await (const events of followBatches(target, options)) yield* events;
}
async function* followBatches(target, options = {}) {
  const { signal, giveUpMs = Infinity } = options;
  const onState = telling(options.onState);
  const line = new Line(target, options);
  const log = new Log(options.after, line.isWhole);
  let failures = 0;
  let heard = Date.now();
  for (; ; ) {
    signal?.throwIfAborted();
    const { isPolling } = line;
    onState({ state: isPolling ? "polling" : "connecting", after: log.last });
    let wait = options.pollMs ?? POLL_MS;
    try {
      for await (const frames of line.read(log.last)) {
        heard = Date.now();
        if (frames === "open") {
          if (!isPolling) onState({ state: "open", after: log.last });
          continue;
        }
        const events = log.take(frames);
        if (events.length) {
          failures = 0;
          yield events;
        }
        if (log.fault) throw log.fault;
        if (log.ended) break;
      }
      if (log.ended || line.ended) return onState({ state: "ended", after: log.last });
      if (!isPolling) throw new Error("the stream ended before its run");
      failures = 0;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Overlap) line.joins = false;
      if (!mayPass(error) || Date.now() - heard > giveUpMs) throw error;
      wait = backoff(failures, options.retryMs ?? line.retryMs, retryAfter(error));
      failures += 1;
      onState({ state: "waiting", after: log.last, error, retryInMs: wait });
    }
    await pause(wait, signal);
  }
}
function telling(listener) {
  return (state) => {
    try {
      listener?.(state);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}

// host.js
var START_RETRIES = 4;
var Host = class extends Address {
  /** @param {string} task @param {unknown} [input] @param {StartOptions} [options] */
  start(task, input, options) {
    return launch(this, `${taskPath(task)}/runs`, input, options);
  }
  /** @param {string} id */
  run(id) {
    return new Run(this, id);
  }
  /** @param {Query & { labels?: Record<string, string> }} [filter] */
  runs({ labels, ...query } = {}) {
    const [label] = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
    return this.request("GET", "/api/runs", { query: { label, ...query } });
  }
  async tasks() {
    return this.request("GET", "/api/tasks");
  }
  /** @param {string} name */
  async task(name) {
    return this.request("GET", taskPath(name));
  }
  /** @param {string} name @param {Blob | ArrayBuffer | ArrayBufferView} file @param {{ signal?: AbortSignal }} [options] */
  async putTask(name, file, { signal } = {}) {
    const headers = { "content-type": "application/wasm" };
    const { status } = await this.open("PUT", taskPath(name), { body: file, headers, signal });
    return status === 201 ? "created" : status === 202 ? "accepted" : "replaced";
  }
};
var Run = class {
  /** @param {Host} host @param {string | RunInfo} run */
  constructor(host, run) {
    this.host = host;
    this.id = typeof run === "string" ? run : run.id;
    this.stream = typeof run === "string" ? void 0 : run.stream;
  }
  /** @param {string} method @param {string} [path] @param {{ query?: Query, body?: unknown, signal?: AbortSignal }} [options] */
  #ask(method, path = "", options) {
    return this.host.request(method, `/api/runs/${encodeURIComponent(this.id)}${path}`, options);
  }
  /** @param {{ signal?: AbortSignal }} [options] @returns {Promise<RunInfo>} */
  info(options) {
    return this.#ask("GET", "", options);
  }
  /** @param {FollowOptions} [options] */
  follow(options) {
    return follow(this, options);
  }
  /** @param {{ signal?: AbortSignal }} [options] */
  async result({ signal } = {}) {
    const end = follow(this, { host: this.host, signal, from: "now", types: [...ENDS] });
    while (!(await end.next()).done) ;
    const run = await this.info({ signal });
    if (run.status !== "completed") throw new RunError(run);
    return run.final_value;
  }
  /** @returns {Promise<RunInfo>} */
  cancel() {
    return this.#ask("POST", "/cancel");
  }
  /** @param {unknown} [input] @param {StartOptions} [options] */
  retry(input, options) {
    return launch(this.host, `/api/runs/${encodeURIComponent(this.id)}/retry`, input, options);
  }
  /** @returns {Promise<RunInfo>} */
  pause() {
    return this.#ask("POST", "/pause");
  }
  /** @returns {Promise<RunInfo>} */
  resume() {
    return this.#ask("POST", "/resume");
  }
  /** @param {string} name @param {unknown} [payload] @returns {Promise<RunInfo>} */
  signal(name, payload) {
    return this.#ask("POST", `/signals/${encodeURIComponent(name)}`, { body: payload });
  }
  /** @param {string} name @param {unknown} value @returns {Promise<RunInfo>} */
  setParameter(name, value) {
    return this.#ask("PUT", `/parameters/${encodeURIComponent(name)}`, { body: value });
  }
  /** @returns {Promise<Record<string, unknown>>} */
  parameters() {
    return this.#ask("GET", "/parameters");
  }
  children() {
    return this.#ask("GET", "/children");
  }
  files() {
    return this.#ask("GET", "/files");
  }
  /** @returns {Promise<void>} */
  delete() {
    return this.#ask("DELETE");
  }
};
async function launch(host, path, input, options = {}) {
  const { id, labels, idempotencyKey, notBefore, delay, priority, resources, ifBusy, onDisconnect, signal } = options;
  const key = idempotencyKey ?? (id ? void 0 : randomName());
  const headers = key ? { "idempotency-key": key } : void 0;
  const label = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
  const moment = notBefore instanceof Date ? notBefore.toISOString() : notBefore;
  const wish = { resource: resources, if_busy: ifBusy, on_disconnect: onDisconnect };
  const query = { id, label, not_before: moment, delay, priority, ...wish };
  for (let tries = 0; ; tries += 1) {
    try {
      return new Run(host, await host.request("POST", path, { query, body: input, headers, signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (tries >= START_RETRIES || !mayPass(error)) throw error;
      await pause(backoff(tries, void 0, retryAfter(error)), signal);
    }
  }
}
function taskPath(name) {
  const parts = name.includes("/") ? name.split("/") : ["default", name];
  return `/api/tasks/${parts.map(encodeURIComponent).join("/")}`;
}
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// progress.js
var MAX_ITEMS = 1e3;
var OUTCOMES = (
  /** @type {const} */
  ["completed", "failed", "cancelled"]
);
var STATUSES = /* @__PURE__ */ new Set(["waiting", "running", "completed", "failed", "skipped"]);
var number = (value) => typeof value === "number" && Number.isFinite(value) ? value : void 0;
var text = (value) => typeof value === "string" ? value : void 0;
var Progress = class {
  /** In the order in which they were first heard of. @type {Map<string, ProgressItem>} */
  items = /* @__PURE__ */ new Map();
  /** Made when it is asked for. @type {ReturnType<typeof treeOf> | undefined} */
  #tree;
  /** Takes in the data of one event; the item that it speaks of, if it is about progress. @param {any} data */
  update(data) {
    if (data === null || typeof data !== "object") return void 0;
    const done2 = number(data.done) ?? number(data.step);
    const percent = number(data.percent);
    const id = text(data.id);
    if (id === void 0 && done2 === void 0 && percent === void 0) return void 0;
    const before = this.items.get(id ?? "") ?? { id: id ?? "", status: "running" };
    if (!this.items.has(before.id) && this.items.size >= MAX_ITEMS) return void 0;
    const given = {
      parent: text(data.parent),
      weight: number(data.weight),
      status: STATUSES.has(data.status) ? data.status : void 0,
      done: done2,
      total: number(data.total),
      percent,
      message: text(data.message)
    };
    const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== void 0));
    const item = { ...before, ...said };
    this.items.set(item.id, item);
    this.#tree = void 0;
    return item;
  }
  /**
   * Closes what is still open when the run has ended: nobody works at it any more.
   * @param {string} status `completed`, `failed` or `cancelled`
   */
  close(status) {
    const outcome = OUTCOMES.find((one) => one === status);
    if (outcome === void 0) return;
    for (const item of this.items.values()) {
      if (item.status === "waiting" || item.status === "running") this.items.set(item.id, { ...item, status: outcome });
    }
    this.#tree = void 0;
  }
  /** From 0 to 1; undefined if nothing is known. Without an id, of the run. @param {string} [id] */
  fraction(id) {
    const { nodes, fraction } = this.#added();
    return id === void 0 ? fraction : nodes.get(id)?.fraction;
  }
  /** The items as a tree, added up by weight. */
  tree() {
    const { roots, fraction } = this.#added();
    return { roots, fraction };
  }
  #added() {
    this.#tree ??= treeOf(this.items);
    return this.#tree;
  }
};
function treeOf(items) {
  const nodes = /* @__PURE__ */ new Map();
  for (const item of items.values()) nodes.set(item.id, { item, parts: [], fraction: void 0 });
  const circular = inCircles(items);
  const roots = [];
  for (const node of nodes.values()) {
    const { id, parent } = node.item;
    const above = parent === void 0 || circular.has(id) ? void 0 : nodes.get(parent);
    (above?.parts ?? roots).push(node);
  }
  const order = [...roots];
  for (let at = 0; at < order.length; at += 1) order.push(.../** @type {ProgressNode} */
  order[at].parts);
  for (const node of order.reverse()) node.fraction = saidOf(node.item) ?? rollUp(node.parts);
  const whole = nodes.get("");
  return { nodes, roots, fraction: whole?.fraction ?? rollUp(roots.filter((root) => root !== whole)) };
}
function inCircles(items) {
  const circular = /* @__PURE__ */ new Set();
  const seen = /* @__PURE__ */ new Map();
  let walk = 0;
  for (const start2 of items.values()) {
    walk += 1;
    let at = (
      /** @type {ProgressItem | undefined} */
      start2
    );
    for (; at && !seen.has(at.id); at = at.parent === void 0 ? void 0 : items.get(at.parent)) seen.set(at.id, walk);
    if (!at || seen.get(at.id) !== walk) continue;
    for (; at && !circular.has(at.id); at = items.get(at.parent ?? "")) circular.add(at.id);
  }
  return circular;
}
function saidOf({ status, percent, done: done2, total }) {
  if (status === "completed" || status === "skipped") return 1;
  if (percent !== void 0) return Math.min(Math.max(percent / 100, 0), 1);
  if (done2 !== void 0 && total !== void 0 && total > 0) return Math.min(Math.max(done2 / total, 0), 1);
  return void 0;
}
function rollUp(parts) {
  let sum = 0;
  let weights = 0;
  for (const { item, fraction } of parts) {
    const weight = Math.max(item.weight ?? 1, 0);
    sum += weight * (fraction ?? 0);
    weights += weight;
  }
  return weights > 0 ? sum / weights : void 0;
}

// sanitize.js
var ELEMENTS = new Set(
  "a abbr article aside b bdi bdo blockquote br caption cite code col colgroup data dd del details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark meter ol output p pre progress q rp rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr".split(" ")
);
var HIDDEN = new Set(
  "applet audio base canvas embed frame frameset head iframe link math meta noembed noframes noscript object option param picture plaintext script select source style svg template textarea title track video xmp".split(" ")
);
var ATTRIBUTES = new Set(
  "class dir lang role title data-stream data-stream-mode data-stream-format data-stream-limit data-stream-scroll data-loading-class dj-stream dj-stream-mode".split(" ")
);
var OWN_ATTRIBUTES = (
  /** @type {Record<string, string[]>} */
  {
    a: ["href", "target"],
    img: ["src", "alt", "width", "height"],
    td: ["colspan", "rowspan", "headers"],
    th: ["colspan", "rowspan", "headers", "scope"],
    col: ["span"],
    colgroup: ["span"],
    ol: ["start", "reversed", "type"],
    li: ["value"],
    details: ["open"],
    time: ["datetime"],
    data: ["value"],
    meter: ["value", "min", "max", "low", "high", "optimum"],
    progress: ["value", "max"]
  }
);
var LINKS = /* @__PURE__ */ new Set(["http:", "https:", "mailto:", "tel:"]);
var IMAGES = /* @__PURE__ */ new Set(["http:", "https:"]);
var IMAGE_DATA = /^data:image\/(png|jpeg|gif|webp|avif);base64,/i;
var MAX_DEPTH = 200;
function sanitize(html, page = document) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fragment = page.createDocumentFragment();
  copyChildren(parsed.body, fragment, page, 0);
  return fragment;
}
function copyChildren(from, to, page, depth) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.appendChild(page.createTextNode(node.nodeValue ?? ""));
    else if (node instanceof Element && depth < MAX_DEPTH) copyElement(node, to, page, depth + 1);
  }
}
function copyElement(from, to, page, depth) {
  const name = from.localName;
  if (HIDDEN.has(name) || from.namespaceURI !== "http://www.w3.org/1999/xhtml") return;
  if (!ELEMENTS.has(name)) return copyChildren(from, to, page, depth);
  const copy = page.createElement(name);
  for (const { name: attribute, value } of from.attributes) {
    if (isAllowed(name, attribute, value, page)) copy.setAttribute(attribute, value);
  }
  if (name === "a") copy.setAttribute("rel", "noopener noreferrer nofollow");
  copyChildren(from, copy, page, depth);
  to.appendChild(copy);
}
function isAllowed(element, name, value, page) {
  if (name === "id") return value !== "" && !(value in page);
  if (ATTRIBUTES.has(name) || /^aria-[a-z]+$/.test(name)) return true;
  if (!OWN_ATTRIBUTES[element]?.includes(name)) return false;
  if (name === "href") return isLink(value, page);
  if (name === "src") return hasScheme(value, IMAGES, page) || IMAGE_DATA.test(value);
  if (name === "target") return value === "_blank";
  return true;
}
function isLink(url, page = document) {
  return hasScheme(url, LINKS, page);
}
function hasScheme(url, schemes, page) {
  return URL.canParse(url, page.baseURI) && schemes.has(new URL(url, page.baseURI).protocol);
}

// markdown.js
var MAX_DEPTH2 = 12;
var FENCE = /^ {0,3}(`{3,}|~{3,}) *([\w+#.-]*)/;
var HEADING = /^ {0,3}(#{1,6}) +(.*?)(?: +#+)? *$/;
var RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
var QUOTE = /^ {0,3}> ?/;
var ITEM = /^( *)([-*+]|(\d{1,9})[.)])( +|$)/;
var TABLE_RULE = /^ *\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;
var MARKS = /\\[!-/:-@[-`{-~]|`+|\*\*?|__?|~~|!?\[|<?https?:\/\/| {2,}\n/g;
var LABEL_MARKS = /\\[!-/:-@[-`{-~]|`+|\*\*?|__?|~~/g;
var LINK_TARGET = /\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+"[^"]*")?\s*\)/y;
var isBlank = (line) => line.trim() === "";
var Markdown = class {
  /** All of it. */
  source = "";
  /** The last block, which may still grow, and what was built of it. */
  #last = "";
  /** @type {ChildNode[]} */
  #built = [];
  /** @param {Element} element */
  constructor(element) {
    this.element = element;
  }
  /** @param {string} text */
  append(text2) {
    this.source += text2;
    for (const node of this.#built) node.remove();
    const { element } = this;
    const blocks = cut(this.#last + text2);
    const open = blocks.splice(settled(blocks));
    for (const block of blocks) build(block, element, 0);
    const before = element.childNodes.length;
    for (const block of open) build(block, element, 0);
    this.#built = [...element.childNodes].slice(before);
    this.#last = open.flat().join("\n");
  }
};
function settled(blocks) {
  let count = blocks.length - 1;
  if ((blocks[count]?.length ?? 0) > 1) return count;
  while (count > 0 && isBlank((blocks[count - 1] ?? []).join(""))) count -= 1;
  return Math.max(count - 1, 0);
}
function cut(source) {
  const blocks = [];
  const lines2 = source.split("\n");
  for (let at = 0; at < lines2.length; ) {
    const end = endOfBlock(lines2, at);
    blocks.push(lines2.slice(at, end));
    at = end;
  }
  return blocks;
}
function endOfBlock(lines2, at) {
  const first = lines2[at] ?? "";
  let end = at + 1;
  const fence = FENCE.exec(first);
  if (fence) {
    while (end < lines2.length && !closes(lines2[end] ?? "", fence[1] ?? "")) end += 1;
    return Math.min(end + 1, lines2.length);
  }
  if (HEADING.test(first) || RULE.test(first) || isBlank(first)) return end;
  const item = ITEM.exec(first);
  if (item) {
    while (end < lines2.length && isInList(lines2, end, item)) end += 1;
    return end;
  }
  const isQuote = QUOTE.test(first);
  while (end < lines2.length && !isBlank(lines2[end] ?? "") && (isQuote || !begins(lines2[end] ?? ""))) end += 1;
  return end;
}
function isInList(lines2, at, first) {
  const line = lines2[at] ?? "";
  const next = lines2[at + 1];
  if (isBlank(line)) return next === void 0 || isBlank(next) || isOfList(next, first);
  return isOfList(line, first) || !begins(line);
}
function isOfList(line, first) {
  const item = ITEM.exec(line);
  return /^ {2,}\S/.test(line) || item !== null && item[3] === void 0 === (first[3] === void 0);
}
function begins(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}
function closes(line, fence) {
  const text2 = line.trim();
  return text2.length >= fence.length && text2 === (fence[0] ?? "").repeat(text2.length);
}
function build(lines2, parent, depth) {
  const first = lines2[0] ?? "";
  const text2 = lines2.join("\n");
  if (isBlank(text2)) return;
  const heading = HEADING.exec(first);
  if (depth > MAX_DEPTH2) add(parent, "p", text2);
  else if (FENCE.test(first)) code(lines2, parent);
  else if (heading) inline(heading[2] ?? "", add(parent, `h${heading[1]?.length}`));
  else if (RULE.test(first)) add(parent, "hr");
  else if (QUOTE.test(first)) within(lines2.map((line) => line.replace(QUOTE, "")), add(parent, "blockquote"), depth);
  else if (ITEM.test(first)) list(lines2, parent, depth);
  else if (TABLE_RULE.test(lines2[1] ?? "") && first.includes("|")) table(lines2, parent);
  else inline(text2.trim(), add(parent, "p"));
}
function within(lines2, parent, depth) {
  for (const block of cut(lines2.join("\n"))) build(block, parent, depth + 1);
}
function code(lines2, parent) {
  const [, fence = "", language = ""] = FENCE.exec(lines2[0] ?? "") ?? [];
  const isClosed = lines2.length > 1 && closes(lines2.at(-1) ?? "", fence);
  const element = add(add(parent, "pre"), "code", lines2.slice(1, isClosed ? -1 : void 0).join("\n"));
  if (language) element.className = `language-${language}`;
}
function list(lines2, parent, depth) {
  const [, indent = "", , number2] = ITEM.exec(lines2[0] ?? "") ?? [];
  const element = add(parent, number2 === void 0 ? "ul" : "ol");
  if (number2 !== void 0 && number2 !== "1") element.setAttribute("start", String(Number(number2)));
  const items = [];
  let inset = 0;
  for (const line of lines2) {
    const item = ITEM.exec(line);
    if (item && (item[1] ?? "").length < Math.max(inset, indent.length + 2)) {
      inset = (item[1] ?? "").length + (item[2] ?? "").length + 1;
      items.push([line.slice(item[0].length)]);
    } else items.at(-1)?.push(line.replace(new RegExp(`^ {0,${inset}}`), ""));
  }
  for (const item of items) {
    const entry = add(element, "li");
    const blocks = cut(item.join("\n"));
    const isTight = !begins(blocks[0]?.[0] ?? "");
    if (isTight) inline((blocks.shift() ?? []).join("\n").trim(), entry);
    for (const block of blocks) build(block, entry, depth + 1);
  }
}
function table(lines2, parent) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
  const row = (line, part, name) => {
    const tr = add(part, "tr");
    for (const cell of cells(line)) inline(cell.trim(), add(tr, name));
  };
  const element = add(parent, "table");
  row(lines2[0] ?? "", add(element, "thead"), "th");
  const body = add(element, "tbody");
  for (const line of lines2.slice(2)) if (!isBlank(line)) row(line, body, "td");
}
function inline(text2, parent, depth = 0, isLabel = false) {
  const marks = new RegExp(isLabel ? LABEL_MARKS : MARKS);
  const seen = { dead: /* @__PURE__ */ new Set(), label: -1 };
  let from = 0;
  for (let found = marks.exec(text2); found && depth < MAX_DEPTH2; found = marks.exec(text2)) {
    const made = special(text2, found.index, found[0], seen, depth, isLabel);
    if (!made) continue;
    parent.append(text2.slice(from, found.index), made.node);
    from = marks.lastIndex = made.end;
  }
  parent.append(text2.slice(from));
}
function special(text2, at, mark, seen, depth, isLabel) {
  const start2 = at + mark.length;
  if (mark[0] === "\\") return { node: document.createTextNode(mark.slice(1)), end: start2 };
  if (mark[0] === " ") return { node: document.createElement("br"), end: start2 };
  if (mark.endsWith("[")) return link(text2, start2, seen, depth);
  if (mark.endsWith("/")) return address(text2, at);
  if (seen.dead.has(mark)) return void 0;
  const isCode = mark[0] === "`";
  if (!isCode && (!/\S/.test(text2[start2] ?? " ") || mark[0] === "_" && /\w/.test(text2[at - 1] ?? ""))) return void 0;
  const close = isCode ? endOfCode(text2, mark, start2) : endOfEmphasis(text2, mark, start2);
  if (close < 0) {
    seen.dead.add(mark);
    return void 0;
  }
  const inner = text2.slice(start2, close);
  const node = document.createElement(isCode ? "code" : mark === "~~" ? "s" : mark.length === 2 ? "strong" : "em");
  if (isCode) node.textContent = inner.replace(/^ (.*\S.*) $/s, "$1");
  else inline(inner, node, depth + 1, isLabel);
  return { node, end: close + mark.length };
}
function endOfCode(text2, mark, from) {
  for (let at = text2.indexOf(mark, from); at >= 0; ) {
    let end = at + mark.length;
    if (text2[end] !== "`") return at;
    while (text2[end] === "`") end += 1;
    at = text2.indexOf(mark, end);
  }
  return -1;
}
function endOfEmphasis(text2, mark, from) {
  for (let at = text2.indexOf(mark, from); at >= 0; at = text2.indexOf(mark, at + mark.length)) {
    const next = text2[at + mark.length] ?? " ";
    if (next === mark[0]) {
      at += 1;
      if (mark.length === 1) continue;
    }
    const isWord = mark[0] === "_" && /\w/.test(text2[at + mark.length] ?? " ");
    if (at > from && !isWord && /\S/.test(text2[at - 1] ?? " ")) return at;
  }
  return -1;
}
function link(text2, start2, seen, depth) {
  if (seen.label < start2) seen.label = text2.indexOf("](", start2);
  if (seen.label < 0) seen.label = Infinity;
  if (seen.label === Infinity) return void 0;
  const target = new RegExp(LINK_TARGET);
  target.lastIndex = seen.label + 1;
  const found = target.exec(text2);
  if (!found || !isLink(found[1] ?? "")) return void 0;
  const node = anchor(found[1] ?? "");
  inline(text2.slice(start2, seen.label), node, depth + 1, true);
  return { node, end: target.lastIndex };
}
function address(text2, at) {
  const [found = ""] = /^<?https?:\/\/[^\s<>]{1,2000}/.exec(text2.slice(at, at + 2010)) ?? [];
  const url = found.replace(/^</, "").replace(/[.,:;!?'")\]*_]{1,20}$/, "");
  if (!found || !isLink(url)) return void 0;
  const isQuoted = found[0] === "<";
  const node = anchor(url);
  node.textContent = url;
  const end = at + url.length + (isQuoted ? 1 : 0);
  return { node, end: isQuoted && text2[end] === ">" ? end + 1 : end };
}
function anchor(url) {
  const node = document.createElement("a");
  node.setAttribute("href", url);
  node.setAttribute("rel", "noopener noreferrer nofollow");
  return node;
}
function add(parent, name, text2) {
  const element = document.createElement(name);
  if (text2 !== void 0) element.textContent = text2;
  parent.append(element);
  return element;
}

// queue.js
var ADDING = /* @__PURE__ */ new Set(["text", "insert", "line"]);
var MARKS2 = /* @__PURE__ */ new Set(["start", "done", "error"]);
var Queue = class {
  /** @type {Entry[]} */
  #entries = [];
  /** What can still be added to, by target. @type {Map<string | Element, Entry>} */
  #open = /* @__PURE__ */ new Map();
  /** What a replacement makes needless, by target. @type {Map<string | Element, Entry[]>} */
  #content = /* @__PURE__ */ new Map();
  #pieces = 0;
  /** How many updates wait. */
  get size() {
    return this.#pieces;
  }
  take() {
    const entries = this.#entries;
    this.#entries = [];
    this.#open.clear();
    this.#content.clear();
    this.#pieces = 0;
    return entries;
  }
  /** @param {Update} update @param {string | Element} target */
  add(update, target) {
    this.#pieces += 1;
    const creates = createsTargets(update);
    const open = this.#open.get(target);
    if (open && !creates && joins(open, update)) return;
    const entry = { op: update.op, update, target, pieces: [piece(update)] };
    this.#entries.push(entry);
    if (!MARKS2.has(update.op)) this.#note(entry);
    if (creates) this.#open.clear();
    else if (MARKS2.has(update.op)) this.#open.delete(target);
    else this.#open.set(target, entry);
  }
  /** Makes earlier content needless if this replaces it. @param {Entry} entry */
  #note(entry) {
    const { target } = entry;
    const earlier = this.#content.get(target) ?? [];
    if (replaces(entry.update)) for (const one of earlier.splice(0)) one.isMoot = true;
    earlier.push(entry);
    this.#content.set(target, earlier);
  }
};
function replaces({ op, mode }) {
  return op === "html" || op === "state" || op === "progress" || op === "text" && mode === "replace";
}
function createsTargets({ op, html }) {
  return (op === "html" || op === "insert") && /(data|dj)-stream/i.test(String(html));
}
function piece(update) {
  return update.op === "text" ? String(update.text ?? "") : update.op === "insert" ? String(update.html ?? "") : update;
}
function joins(open, update) {
  if (update.op === "prune" && open.op === "insert") return joinsPrune(open, update);
  const isSame = update.op === open.op && update.mode === open.update.mode && update.at === open.update.at;
  if (!isSame || !ADDING.has(open.op)) return false;
  if (update.mode === "replace") open.pieces.length = 0;
  open.pieces.push(piece(update));
  return true;
}
function joinsPrune(open, update) {
  const edge = update.edge ?? "top";
  const isOther = edge === (open.update.at === "prepend" ? "bottom" : "top");
  const isSame = !open.prune || open.prune.limit === update.limit && (open.prune.edge ?? "top") === edge;
  if (isOther && isSame) Object.assign(open, { prune: update, pruned: open.pieces.length });
  return isOther && isSame;
}

// scrolling.js
var NEAR_PX = 100;
var Scrolling = class {
  /** @type {Set<Element>} */
  #atEnd = /* @__PURE__ */ new Set();
  /** @param {Element[]} elements */
  constructor(elements) {
    const seen = /* @__PURE__ */ new Set();
    for (const element of new Set(elements)) {
      const box = boxOf(element);
      if (!box || seen.has(box)) continue;
      seen.add(box);
      if (box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX) this.#atEnd.add(box);
    }
  }
  restore() {
    for (const box of this.#atEnd) {
      if (box.isConnected) box.scrollTo({ top: box.scrollHeight, behavior: "instant" });
    }
  }
};
function boxOf(element) {
  const wish = element.closest("[data-stream-scroll]")?.getAttribute("data-stream-scroll");
  if (wish === "none") return void 0;
  if (wish === "page") return element.ownerDocument.scrollingElement ?? void 0;
  const { body, documentElement } = element.ownerDocument;
  for (let box = (
    /** @type {Element | null} */
    element
  ); box && box !== body && box !== documentElement; box = box.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(box).overflowY)) return box;
  }
  return void 0;
}

// view.js
var NO_FRAME_MS = 1e3;
var TEXT_NODE_CHARS = 64 << 10;
var MAX_LINES = 5e3;
var NO_TARGET = "\0";
var View = class {
  #queue = new Queue();
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {WeakMap<Element, Markdown>} */
  #markdown = /* @__PURE__ */ new WeakMap();
  /** @param {Document | Element} [root] @param {ViewOptions} [options] */
  constructor(root = document, options = {}) {
    this.root = root;
    this.sanitize = options.sanitize ?? ((html) => sanitize(html));
  }
  /** How many updates wait. */
  get pending() {
    return this.#queue.size;
  }
  /** @param {Update} update @param {Element} [element] */
  apply(update, element) {
    for (const one of updatesOf(update)) this.#apply(one, element);
  }
  /** @param {any} update @param {Element} [element] */
  #apply(update, element) {
    const target = element ?? (update.op === "state" ? NO_TARGET : update.target);
    if (typeof target !== "string" && !(target instanceof Element)) return;
    this.#queue.add(update, target);
    if (this.#timer !== void 0) return;
    this.#timer = setTimeout(() => this.flush(), NO_FRAME_MS);
    this.#frame = requestAnimationFrame(() => this.flush());
  }
  /** Resolves when all that waits now is written. @returns {Promise<void>} */
  written() {
    return this.pending ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }
  /** Writes what waits at once. */
  flush() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = void 0;
    const entries = this.#queue.take();
    const scrolling = new Scrolling(entries.flatMap((entry) => this.#elements(entry.target)));
    for (const entry of entries) {
      try {
        this.#write(entry);
      } catch (error) {
        console.warn(`streamtask: the update ${entry.op} of ${String(entry.update.target)} could not be done:`, error);
      }
    }
    scrolling.restore();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
  /** Every target that is still being written is complete, or has failed with `message`. @param {string} [message] */
  finish(message) {
    this.flush();
    for (const element of this.root.querySelectorAll("[data-stream-active]")) {
      if (message === void 0) this.apply({ op: "done", target: nameOf(element) }, element);
      else this.apply({ op: "error", target: nameOf(element), message }, element);
    }
    this.flush();
  }
  /** @param {string | Element} target @returns {Element[]} */
  #elements(target) {
    if (typeof target !== "string") return [target];
    if (target === NO_TARGET) return [];
    const name = CSS.escape(target);
    const selector = `[data-stream="${name}"], [dj-stream="${name}"]`;
    const below = [...this.root.querySelectorAll(selector)];
    return this.root instanceof Element && this.root.matches(selector) ? [this.root, ...below] : below;
  }
  /** @param {Entry} entry */
  #write(entry) {
    const { op, update } = entry;
    if (entry.isMoot && op !== "text") return;
    if (op === "state") return tell(this.root, "state", { state: update.state });
    for (const element of this.#elements(entry.target)) {
      if (entry.isMoot) activate(element);
      else if (op === "text") this.#text(element, entry);
      else if (op === "html") this.#html(element, String(update.html ?? ""));
      else if (op === "insert") this.#insert(element, entry);
      else if (op === "remove") remove(element, String(update.selector));
      else if (op === "prune") prune(element, update);
      else if (op === "start") start(element);
      else if (op === "done") done(element);
      else if (op === "error") fail(element, String(update.message ?? update.error ?? ""));
      else if (op === "line") lines(element, entry.pieces);
      else if (op === "progress") showProgress(element, update);
      else console.warn(`streamtask: there is no update ${JSON.stringify(op)}`);
    }
  }
  /** @param {Element} element @param {Entry} entry */
  #text(element, { update, pieces }) {
    const own = element.getAttribute("data-stream-mode") ?? element.getAttribute("dj-stream-mode");
    const mode = update.mode ?? own ?? "append";
    const text2 = mode === "replace" ? pieces.at(-1) : (mode === "prepend" ? pieces.toReversed() : pieces).join("");
    clearError(element);
    if (element.getAttribute("data-stream-format") === "markdown") this.#writeMarkdown(element, text2, mode);
    else writeText(element, text2, mode);
    activate(element);
    tell(element, "text", { text: text2, mode });
  }
  /** @param {Element} element @param {string} text @param {string} mode */
  #writeMarkdown(element, text2, mode) {
    const before = this.#markdown.get(element);
    const markdown = mode === "append" && before ? before : new Markdown(element);
    this.#markdown.set(element, markdown);
    if (mode !== "append") element.replaceChildren();
    markdown.append(mode === "prepend" ? text2 + (before?.source ?? "") : text2);
  }
  /** @param {Element} element @param {string} html */
  #html(element, html) {
    clearError(element);
    this.#markdown.delete(element);
    element.replaceChildren(this.sanitize(html));
    tell(element, "update", { op: "replace" });
  }
  /** @param {Element} element @param {Entry} entry */
  #insert(element, { update, pieces, prune: pruning, pruned }) {
    const isPrepended = update.at === "prepend";
    const fragments = pieces.map((html) => this.sanitize(html));
    const later = fragments.slice(pruned).reduce((count, fragment) => count + fragment.childElementCount, 0);
    clearError(element);
    if (isPrepended) element.prepend(...fragments.reverse());
    else element.append(...fragments);
    if (pruning) prune(element, { ...pruning, limit: Math.max(0, Number(pruning.limit)) + later });
    tell(element, "update", { op: isPrepended ? "prepend" : "append" });
  }
};
function* updatesOf(data) {
  const left = [data];
  while (left.length > 0) {
    const one = left.pop();
    if (one === null || typeof one !== "object") continue;
    if (one.op !== "frame") yield one;
    else if (Array.isArray(one.ops)) for (const part of one.ops.toReversed()) left.push(part);
  }
}
function nameOf(element) {
  return element.getAttribute("data-stream") ?? element.getAttribute("dj-stream") ?? "";
}
function tell(node, what, detail) {
  const stream = node instanceof Element ? nameOf(node) : "";
  node.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail: { stream, ...detail } }));
}
function writeText(element, text2, mode) {
  if (mode === "replace") {
    element.textContent = text2;
  } else if (mode === "prepend") {
    element.prepend(text2);
  } else {
    const last = element.lastChild;
    if (last instanceof Text && last.length < TEXT_NODE_CHARS) last.appendData(text2);
    else element.append(text2);
  }
}
function remove(element, selector) {
  for (const found of element.querySelectorAll(selector)) {
    tell(found, "remove", { stream: nameOf(element) });
    found.remove();
  }
}
function prune(element, { limit, edge }) {
  const tooMany = element.childElementCount - Math.max(0, Number(limit));
  for (let count = 0; count < tooMany; count += 1) {
    if (edge === "bottom") element.lastElementChild?.remove();
    else element.firstElementChild?.remove();
  }
}
function loadingClasses(element) {
  return (element.getAttribute("data-loading-class") ?? "").split(/\s+/).filter(Boolean);
}
function activate(element) {
  if (element.hasAttribute("data-stream-active")) return;
  element.setAttribute("data-stream-active", "true");
  element.setAttribute("aria-busy", "true");
  for (const name of loadingClasses(element)) element.classList.add(name);
}
function deactivate(element) {
  element.removeAttribute("data-stream-active");
  element.removeAttribute("aria-busy");
  for (const name of loadingClasses(element)) element.classList.remove(name);
}
function start(element) {
  clearError(element);
  activate(element);
  tell(element, "start", {});
}
function done(element) {
  deactivate(element);
  tell(element, "done", {});
}
function fail(element, message) {
  deactivate(element);
  clearError(element);
  element.setAttribute("data-stream-error", "true");
  const note = document.createElement("div");
  note.className = "stream-error dj-stream-error";
  note.setAttribute("role", "alert");
  note.textContent = message;
  element.append(note);
  tell(element, "error", { error: message });
}
function clearError(element) {
  if (!element.hasAttribute("data-stream-error")) return;
  element.removeAttribute("data-stream-error");
  for (const child of [...element.children]) if (child.matches(".stream-error[role=alert]")) child.remove();
}
function lines(element, pieces) {
  const limit = Number(element.getAttribute("data-stream-limit") ?? MAX_LINES);
  const made = pieces.slice(-limit).map(({ text: text2, level, source }) => {
    const line = document.createElement("div");
    line.className = "stream-line";
    if (level) line.setAttribute("data-level", level);
    if (source) line.setAttribute("data-source", source);
    line.textContent = text2;
    return line;
  });
  element.append(...made);
  prune(element, { limit });
}
function showProgress(element, { progress, id }) {
  const fraction = progress.fraction(id);
  const message = progress.items.get(id ?? "")?.message ?? "";
  if (!(element instanceof HTMLProgressElement)) {
    element.textContent = fraction === void 0 ? message : `${Math.floor(fraction * 100)} % ${message}`.trim();
  } else if (fraction === void 0) {
    element.removeAttribute("value");
  } else {
    element.max = 1;
    element.value = fraction;
  }
}

// page.js
var MAX_PENDING = 5e3;
var ACTIONS = (
  /** @type {const} */
  ["cancel", "pause", "resume"]
);
function connect(options = {}) {
  return new Connection(options);
}
function connectAll(page = document) {
  for (const root of page.querySelectorAll("[data-stream-run], [data-stream-url]")) {
    if (!connected.has(root)) connect({ root });
  }
}
var connected = /* @__PURE__ */ new WeakMap();
var Connection = class {
  #stop = new AbortController();
  #progress = new Progress();
  /** @param {ConnectOptions} options */
  constructor(options) {
    const { root = document, host, run, url, sanitize: sanitize2, signal, onEvent, ...following } = options;
    const element = root instanceof Element ? root : root.documentElement;
    const target = run ?? url ?? element.getAttribute("data-stream-run") ?? element.getAttribute("data-stream-url");
    if (!target) throw new TypeError("connect() needs a `run`, or a `root` with `data-stream-run`");
    connected.get(root)?.close();
    connected.set(root, this);
    this.root = root;
    this.element = element;
    this.onEvent = onEvent;
    this.view = new View(root, { sanitize: sanitize2 });
    const after = Number(element.getAttribute("data-stream-after") ?? "0");
    const interval = element.getAttribute("data-stream-interval");
    const intervalMs = interval === null ? void 0 : Number(interval);
    const ended = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    root.addEventListener("click", this.#onClick, { signal: ended });
    const whole = URL.canParse(String(target)) ? new URL(String(target)).origin : void 0;
    const own = target instanceof Run ? target.host : host ?? whole;
    this.host = own instanceof Host ? own : new Host(
      /** @type {string | URL | undefined} */
      own
    );
    this.target = target;
    this.done = this.#show({ after, intervalMs, ...following, host: this.host, signal: ended });
    this.done.catch((error) => console.error("streamtask:", error));
  }
  /** Ends the connection; the run goes on. */
  close() {
    this.#stop.abort(new DOMException("the connection was closed", "AbortError"));
  }
  /** @param {import('../streamtask.d.ts').FollowOptions} options @returns {Promise<StreamEvent | undefined>} */
  async #show(options) {
    let end;
    const onState = (state) => this.#tell("connection", state, "data-stream-connection", state.state);
    try {
      for await (const events of followBatches(this.target, { onState, ...options })) {
        for (const event of events) this.#take(event);
        const last = events.at(-1);
        if (last && isEnd(last)) end = /** @type {StreamEvent} */
        last;
        else if (this.view.pending > MAX_PENDING) await this.view.written();
      }
    } catch (error) {
      this.view.flush();
      if (this.#stop.signal.aborted || options.signal?.aborted) return void 0;
      this.#tell("connection", { state: "failed", error }, "data-stream-connection", "failed");
      throw error;
    }
    this.#finish(end);
    return end;
  }
  /** @param {StreamEvent | Notice} event */
  #take(event) {
    this.onEvent?.(event);
    if (event.type === "view") return this.view.apply(event.data);
    if (event.type === "progress") {
      this.#progress.update(event.data);
      this.#showProgress();
    } else if (isEnd(event)) {
      this.#progress.close(event.type.replace("run.", ""));
      this.#showProgress();
    }
    this.#showLine(event);
    this.root.dispatchEvent(new CustomEvent("stream:event", { bubbles: true, detail: event }));
  }
  /** As a line, where an element asks for events of this type. @param {StreamEvent | Notice} event */
  #showLine({ type, data }) {
    for (const element of this.root.querySelectorAll(`[data-stream-events~="${CSS.escape(type)}"]`)) {
      const text2 = typeof data === "string" ? data : data?.message ?? JSON.stringify(data);
      this.view.apply({ op: "line", text: String(text2), level: data?.level, source: data?.stream }, element);
    }
  }
  #showProgress() {
    if (this.#progress.items.size === 0) return;
    for (const element of this.root.querySelectorAll("[data-stream-progress]")) {
      const id = element.getAttribute("data-stream-progress") || void 0;
      this.view.apply({ op: "progress", id, progress: this.#progress }, element);
    }
  }
  /** No target is left as if it were still being written. @param {StreamEvent} [end] */
  #finish(end) {
    const status = end?.type.replace("run.", "") ?? "ended";
    this.view.finish(status === "failed" ? String(end?.data?.error?.message ?? "the run failed") : void 0);
    this.#tell("end", { status, event: end }, "data-stream-status", status);
  }
  /** @param {string} what @param {unknown} detail @param {string} attribute @param {string} value */
  #tell(what, detail, attribute, value) {
    this.element.setAttribute(attribute, value);
    this.root.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail }));
  }
  /** @param {Event} event */
  #onClick = async (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-stream-action]") : null;
    const action = ACTIONS.find((name) => name === button?.getAttribute("data-stream-action"));
    if (!button || !action) return;
    event.preventDefault();
    try {
      await this.#run()[action]();
    } catch (error) {
      console.warn(`streamtask: ${action}:`, error);
    }
  };
  /** The run that is shown: a stream's address ends with its id. */
  #run() {
    const { target } = this;
    if (target instanceof Run) return target;
    if (typeof target === "object" && "id" in target) return this.host.run(String(target.id));
    const text2 = String(typeof target === "object" && "stream" in target ? target.stream : target);
    return this.host.run(text2.replace(/[?#].*/s, "").split("/").at(-1) ?? "");
  }
};
if (globalThis.document) {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => connectAll());
  else connectAll();
}
export {
  Host,
  HostError,
  Progress,
  Run,
  RunError,
  View,
  connect,
  connectAll,
  follow,
  followBatches,
  isEnd,
  sanitize,
  updatesOf
};
