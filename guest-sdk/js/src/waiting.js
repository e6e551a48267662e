// Implements all waiting of a run.
//
// The contract's functions are synchronous: one that waits blocks the whole instance. So functions
// only register their waits here. When the engine has nothing else to do (its own timers only fire
// then), the host is called once with the shortest wait. It suspends the instance, which occupies no
// thread, and resumes it at once if the run is cancelled.
//
// A pending request needs the engine's own loop. During requests, and for waits that no single call
// can express, the loop polls every `SLICE_MS` instead.

import { Cancelled, duration, milliseconds } from './errors.js';

/** The longest delay of a cancellation, a signal or a child's outcome during a request. */
const SLICE_MS = 50;

// The engine's own timers, before they are replaced.
const { setTimeout: after, clearTimeout: forget } = globalThis;

export class Waiting {
  #host;
  /** Pending timers, the next one last. */
  #timers = [];
  #signals = [];
  #children = [];
  #requests = 0;
  #controller = new AbortController();
  #handle;
  #ended = false;

  constructor(host) {
    this.#host = host;
  }

  /** Aborted as soon as the cancellation of the run is detected. */
  get signal() {
    return this.#controller.signal;
  }

  /** Whether the run is cancelled, according to the host. */
  get cancelled() {
    if (!this.signal.aborted && this.#host.cancelled()) this.#cancel();
    return this.signal.aborted;
  }

  checkCancelled() {
    if (this.cancelled) throw new Cancelled();
  }

  /** Calls back after a time, even if the run is cancelled. Returns a handle for `clear`. */
  timer(ms, callback) {
    const timer = { due: this.#host.now() + duration(ms), callback };
    // After earlier timers with the same time.
    let at = this.#timers.length;
    while (at > 0 && this.#timers[at - 1].due <= timer.due) at -= 1;
    this.#timers.splice(at, 0, timer);
    this.#turnSoon();
    return timer;
  }

  clear(timer) {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  }

  /** Resolves after the time; rejects with `Cancelled` as soon as the run is cancelled. */
  sleep(ms) {
    return this.#unlessCancelled((resolve) => {
      const timer = this.timer(ms, resolve);
      return () => this.clear(timer);
    });
  }

  /** The next signal (with this name); undefined after the timeout. */
  receiveSignal(name, timeout) {
    return this.#entry(this.#signals, { name }, timeout);
  }

  /** The index and the outcome of the first of these runs to end; undefined after the timeout. */
  waitForAny(runs, timeout) {
    return this.#entry(this.#children, { runs }, timeout);
  }

  /** A request begins: until the returned function is called, the engine's loop polls. */
  request() {
    this.#requests += 1;
    this.#turnSoon();
    let open = true;
    return () => {
      if (open) this.#requests -= 1;
      open = false;
    };
  }

  /** The run has ended: cancels all callbacks. */
  end() {
    this.#ended = true;
    forget(this.#handle);
  }

  #entry(list, entry, timeout) {
    return this.#unlessCancelled((resolve, reject) => {
      Object.assign(entry, { resolve, reject });
      list.push(entry);
      const timer = timeout === undefined ? undefined : this.timer(timeout, () => {
        // Checks at least once, even with a timeout of 0.
        this.#poll([entry]);
        resolve(undefined);
      });
      this.#turnSoon();
      return () => {
        remove(list, entry);
        this.clear(timer);
      };
    });
  }

  // A promise that rejects when the run is cancelled. `begin` returns a function that undoes it.
  #unlessCancelled(begin) {
    return new Promise((resolve, reject) => {
      this.checkCancelled();
      const settle = (how) => (value) => {
        this.signal.removeEventListener('abort', onAbort);
        undo();
        how(value);
      };
      const onAbort = () => settle(reject)(this.signal.reason);
      const undo = begin(settle(resolve), settle(reject));
      this.signal.addEventListener('abort', onAbort);
    });
  }

  #cancel() {
    if (!this.signal.aborted) this.#controller.abort(new Cancelled());
  }

  #turnSoon(ms = 0) {
    forget(this.#handle);
    if (!this.#ended) this.#handle = after(() => this.#turn(), ms);
  }

  // All code that did not have to wait has run.
  #turn() {
    if (!this.cancelled && !this.#fire() && !this.#poll()) {
      const slice = this.#wait();
      if (slice !== undefined) return this.#turnSoon(slice);
    } else if (this.signal.aborted) {
      this.#fire();
    }
    // Code after the callbacks runs before the next turn.
    if (this.#busy()) this.#turnSoon(this.signal.aborted ? this.#untilNext() : 0);
  }

  #busy() {
    const { length } = this.#timers;
    return length > 0 || this.#signals.length > 0 || this.#children.length > 0 ||
      (this.#requests > 0 && !this.signal.aborted);
  }

  /** Calls the timers that are due. */
  #fire() {
    const now = this.#host.now();
    let fired = false;
    while (this.#timers.length > 0 && this.#timers.at(-1).due <= now) {
      this.#timers.pop().callback();
      fired = true;
    }
    return fired;
  }

  #untilNext() {
    const next = this.#timers.at(-1);
    return next === undefined ? undefined : milliseconds(next.due - this.#host.now());
  }

  /** Waits in the host, or returns how long the engine has to wait instead. */
  #wait() {
    const ms = this.#untilNext();
    const names = new Set(this.#signals.map(({ name }) => name));
    const kinds = names.size + (this.#children.length > 0 ? 1 : 0);
    if (this.#requests > 0) return Math.min(ms ?? SLICE_MS, SLICE_MS);
    if (kinds > 1) {
      const slice = this.#host.slice ?? SLICE_MS;
      attempt([...this.#signals, ...this.#children], () => this.#host.sleep(Math.min(ms ?? slice, slice)));
    } else if (names.size === 1) {
      this.#takeSignal(this.#signals[0], ms);
    } else if (this.#children.length > 0) {
      this.#takeChild(this.#children, ms);
    } else if (ms !== undefined) {
      this.#host.sleep(ms);
    }
    // The call may have returned because of the cancellation.
    void this.cancelled;
    return undefined;
  }

  /** Polls all waits that can't be combined into one call. */
  #poll(only) {
    const signals = this.#signals.filter((entry) => only === undefined || only.includes(entry));
    const children = this.#children.filter((entry) => only === undefined || only.includes(entry));
    const kinds = new Set(signals.map(({ name }) => name)).size + (children.length > 0 ? 1 : 0);
    if (only === undefined && kinds < 2 && this.#requests === 0) return false;
    const taken = signals.map((entry) => this.#takeSignal(entry, 0));
    if (children.length > 0) taken.push(this.#takeChild(children, 0));
    return taken.includes(true);
  }

  #takeSignal(entry, ms) {
    return attempt([entry], () => {
      const signal = this.#host.receiveSignal(entry.name, ms);
      if (signal !== undefined) entry.resolve(signal);
      return signal !== undefined;
    });
  }

  #takeChild(entries, ms) {
    const runs = [...new Set(entries.flatMap((entry) => entry.runs))];
    return attempt(entries, () => {
      const ended = this.#host.waitForChildren(runs, ms);
      if (ended === undefined) return false;
      const run = runs[ended.index];
      for (const entry of entries.filter((entry) => entry.runs.includes(run))) {
        entry.resolve({ index: entry.runs.indexOf(run), outcome: ended.outcome });
      }
      return true;
    });
  }
}

// Rejects all waiting promises with an error of the host.
function attempt(entries, ask) {
  try {
    return ask();
  } catch (error) {
    for (const entry of [...entries]) entry.reject(error);
    return true;
  }
}

function remove(list, entry) {
  const at = list.indexOf(entry);
  if (at >= 0) list.splice(at, 1);
}
