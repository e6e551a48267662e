// A run's page. One connection reads all events of the run, and everything on the page is derived from them.

import { Progress } from "../streamtask.js";
import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { EventPanel, allEvents, logLines } from "./event-panel.js";
import { EventStore } from "./event-store.js";
import { shortId } from "./format.js";
import { OutputPanel } from "./output-panel.js";
import { TimeLeft } from "./time-left.js";
import { poll } from "./poll.js";
import { progressView } from "./progress-view.js";
import { runHead } from "./run-head.js";
import { runSide } from "./run-side.js";
import { isEnded, statusWord } from "./status.js";
import { tabs } from "./tabs.js";
import { Timeline } from "./timeline.js";
import { timelineView } from "./timeline-view.js";

/** Longest work between two frames, in milliseconds: the page stays responsive while 100,000 events arrive. */
const BUDGET_MS = 8;
/** A hidden page closes its stream after this long, in milliseconds: a browser has only six connections for all tabs. Not if
 * the run is cancelled when its last viewer leaves: a user in another tab has not left. */
const HIDDEN_MS = 15_000;
/** The run itself is requested again after this long, in milliseconds, and after each of its lifecycle events. */
const RUN_EVERY_MS = 5000;
/** After this long without an event, in milliseconds, all stored events count as read. */
const QUIET_MS = 800;
/** As RUN_EVERY_MS, for an ended run: it does not change, but it can be deleted. */
const ENDED_EVERY_MS = 60_000;

/** @param {string} id */
export function runView(id) {
  const element = h("div", { class: "run-view" }, h("p", { class: "empty" }, "Loading…"));
  const page = new RunPage(id, element);
  return { title: shortId(id), element, close: () => page.close() };
}

class RunPage {
  constructor(id, element) {
    this.id = id;
    this.element = element;
    this.run = null;
    this.closed = new AbortController();
    this.polling = poll((signal) => this.#poll(signal), RUN_EVERY_MS);
    /** The client's state of the stream, or `failed` if it can't be read. */
    this.state = "connecting";
  }

  close() {
    this.closed.abort();
    this.polling.stop();
    clearInterval(this.ticking);
    document.removeEventListener("visibilitychange", this.seen);
    for (const part of [this.events, this.log, this.output]) part?.close();
  }

  async #poll(signal) {
    try {
      const requestedAt = performance.now();
      const run = await api.run(this.id, signal);
      // The host responds, so the stream's retry pause has no reason any more; until then, events and run would disagree.
      if (this.state === "waiting") api.retryNow();
      this.requestedAt = requestedAt;
      const isFirst = this.run === null;
      const hasEnded = isEnded(run) && !(this.run && isEnded(this.run));
      this.run = run;
      if (isFirst) this.#build();
      this.#showRun();
      if (hasEnded || !isEnded(run)) this.side.refresh(run);
      // Poll until the stream has ended, because each response here makes it retry.
      return isEnded(run) && ["ended", "failed"].includes(this.state) ? ENDED_EVERY_MS : RUN_EVERY_MS;
    } catch (error) {
      if (error.status !== 404) throw error;
      return this.#gone();
    }
  }

  #gone() {
    this.close();
    const text = this.run ? "This run was deleted." : "Run not found. It may have been deleted.";
    fill(this.element, h("div", { class: "empty" }, h("h1", { class: "mono" }, this.id), h("p", null, text), h("a", { href: "#/" }, "All runs")));
  }

  #build() {
    const { run } = this;
    this.progress = new Progress();
    this.timeLeft = new TimeLeft();
    this.timeline = new Timeline(Date.parse(run.created_at));
    this.store = new EventStore((after, count) => api.page(run.stream, after, count, this.closed.signal));
    const read = (signal) => api.batches(run.stream, 0, { signal: AbortSignal.any([signal, this.closed.signal]) });
    this.head = runHead(() => this.polling.now());
    this.side = runSide(this.closed.signal);
    this.bars = progressView();
    this.attempts = timelineView();
    this.events = new EventPanel(this.store, allEvents, read);
    this.log = new EventPanel(this.store, logLines, read);
    this.output = new OutputPanel();
    this.tabs = tabs("Events, log and output", [
      { id: "events", title: "Events", element: this.events.element, shown: () => this.events.shown() },
      { id: "log", title: "Log", element: this.log.element, shown: () => this.log.shown() },
      { id: "output", title: "Output", element: this.output.element },
    ]);
    fill(
      this.element,
      this.head.element,
      h("div", { class: "run-columns" }, h("div", { class: "run-side" }, this.side.outcome, this.bars.element, this.attempts.element, this.side.element), h("div", { class: "run-main" }, this.tabs.element)),
    );
    this.logged = 0;
    /** Time of the newest event: the page's time is never before it, whatever the clocks say. */
    this.newestMs = Date.parse(run.created_at);
    this.readAt = performance.now();
    /** When the last lifecycle event arrived. */
    this.lifecycleAt = -Infinity;
    /** The newest stored event when the stream opened; not known at first. */
    this.storedTo = Infinity;
    this.ticking = setInterval(() => this.#draw(), 1000);
    this.seen = () => this.#onVisibility();
    document.addEventListener("visibilitychange", this.seen);
    this.#follow();
  }

  // ---- the run's events

  #onVisibility() {
    clearTimeout(this.hiding);
    const keeps = this.run.on_disconnect === "cancel" && !isEnded(this.run);
    if (document.hidden && !keeps) this.hiding = setTimeout(() => this.following?.abort(), HIDDEN_MS);
    else if (!document.hidden && this.following?.signal.aborted) this.#follow();
  }

  async #follow() {
    const following = new AbortController();
    this.following = following;
    const signal = AbortSignal.any([following.signal, this.closed.signal]);
    try {
      let began = performance.now();
      for await (const batch of api.batches(this.run.stream, this.store.last, { signal, onState: (state) => this.#onState(state) })) {
        this.#take(batch);
        if (performance.now() - began < BUDGET_MS) continue;
        await nextFrame();
        began = performance.now();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) this.#gone();
      else {
        this.state = "failed";
        this.head.setStream(`The events can’t be loaded: ${error.message}`);
      }
    }
  }

  #onState({ state, error }) {
    this.state = state;
    const texts = { waiting: "Reconnecting…", polling: "Streaming is blocked; polling instead", connecting: "" };
    this.head.setStream(texts[state] ?? "", state === "open" ? "live" : state, error?.message);
    if (state !== "open") return;
    // The run's state may have changed without an event here, for example by a restart of the host.
    this.polling.now();
    this.#learnEnd();
  }

  /** Requests the newest stored event, to tell stored events from live ones. */
  async #learnEnd() {
    this.storedTo = Infinity;
    // Without a response, a pause in the stream tells that the stored events are read.
    const status = await api.streamStatus(this.run.stream, this.closed.signal).catch(() => null);
    if (!status || this.closed.signal.aborted) return;
    this.storedTo = status.last_seq;
    this.#draw();
  }

  #take(batch) {
    const events = [];
    for (const event of batch) {
      if (event.seq === undefined) this.#notice(event);
      else {
        events.push(event);
        this.#event(event);
      }
    }
    const last = events.at(-1);
    if (last) this.newestMs = Date.parse(last.timestamp);
    this.readAt = performance.now();
    this.store.append(events);
    this.#drawSoon();
  }

  #notice({ data }) {
    if (data.reason === "removed") this.#gone();
    // The ID now belongs to another log: the host has another database, or the ID was used again.
    else if (data.reason === "unknown-position") dispatchEvent(new HashChangeEvent("hashchange"));
    else if (data.to) {
      this.store.gap(data.from ?? 1, data.to);
      // The start is no longer in the log, but the run itself records it.
      const { attempt, version, started_at: timestamp } = this.run;
      if (data.from === 1 && timestamp) this.#lifecycle({ type: "run.started", data: { attempt, version }, timestamp });
    }
  }

  #event(event) {
    this.events.addType(event.type);
    if (event.type.startsWith("run.")) this.#lifecycle(event);
    else if (event.type === "progress") this.progress.update(event.data);
    else if (event.type === "view") this.output.take(event.data);
    else if (logLines.base(event)) this.logged += 1;
  }

  #lifecycle(event) {
    if (!this.timeline.update(event)) return;
    this.lifecycleAt = performance.now();
    const at = Date.parse(event.timestamp);
    if (this.timeline.isActive) this.timeLeft.begin(at, { anew: event.type === "run.started" });
    else this.timeLeft.pause(at);
    if (this.timeline.ended) {
      this.output.finish();
      this.progress.close(event.type.replace("run.", ""));
    }
    this.needsRefresh = true;
  }

  // ---- drawing

  #drawSoon() {
    this.drawing ??= nextFrame().then(() => {
      this.drawing = null;
      if (!this.closed.signal.aborted) this.#draw();
    });
  }

  /** Whether the page shows live events: all stored ones have arrived, the newest is recent, or no more arrived. */
  get #isCaughtUp() {
    return this.store.last === this.storedTo || performance.now() - this.readAt > QUIET_MS || api.hostNow() - this.newestMs < 2 * QUIET_MS;
  }

  /** The attempts, in agreement with the state of the run on the rest of the page. */
  #attempts(isCaughtUp) {
    const isRunNewer = !isCaughtUp || this.requestedAt > this.lifecycleAt;
    const attempts = isRunNewer ? this.timeline.attemptsOf(this.run) : this.timeline.attempts;
    // Events that have not arrived yet may end the last span, so its length is not known.
    return isCaughtUp || this.timeline.ended ? attempts : attempts.with(-1, { ...attempts.at(-1), isPartial: true });
  }

  #draw() {
    // While stored events are read, the time is that of the events; after that, the host's.
    const isCaughtUp = this.#isCaughtUp;
    const now = isCaughtUp ? Math.max(this.newestMs, api.hostNow()) : this.newestMs;
    this.head.tick();
    this.bars.update(this.progress, this.timeLeft, now, this.timeline.ended || isEnded(this.run));
    const end = isEnded(this.run) && this.run.finished_at ? Date.parse(this.run.finished_at) : now;
    this.attempts.update(this.#attempts(isCaughtUp), end, this.timeline.ended);
    this.tabs.setCount("events", this.store.last);
    this.tabs.setCount("log", this.logged);
    this.tabs.setCount("output", this.output.targets);
    if (this.output.targets > 0) this.tabs.suggest("output");
    if (!this.needsRefresh) return;
    this.needsRefresh = false;
    this.#showHead();
    this.polling.now();
  }

  #showRun() {
    this.side.update(this.run);
    this.#showHead();
    this.#draw();
  }

  #showHead() {
    const run = this.#runWithOutcome;
    this.head.update(run);
    document.title = `${statusWord(run)} · ${shortId(this.id)} – streamtask`;
  }

  /** The run; if its last event has arrived before its next state, with that event's outcome. */
  get #runWithOutcome() {
    if (!this.timeline.ended || isEnded(this.run)) return this.run;
    const { outcome, to } = this.timeline.attempts.at(-1);
    return { ...this.run, status: outcome, finished_at: new Date(to).toISOString() };
  }
}

/** The next frame, or 250 ms later: a hidden page gets no frames. */
function nextFrame() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
