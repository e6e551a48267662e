// A run's page. One connection reads all that the run says, and everything on the page is made of that.

import { Progress } from "../streamtask.js";
import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { EventPanel, allEvents, logLines } from "./event-panel.js";
import { EventStore } from "./event-store.js";
import { shortId } from "./format.js";
import { OutputPanel } from "./output-panel.js";
import { Pace } from "./pace.js";
import { poll } from "./poll.js";
import { progressView } from "./progress-view.js";
import { runHead } from "./run-head.js";
import { runSide } from "./run-side.js";
import { isEnded, statusWord } from "./status.js";
import { tabs } from "./tabs.js";
import { Timeline } from "./timeline.js";
import { timelineView } from "./timeline-view.js";

/** Longest work between two frames, in milliseconds: the page stays quick while 100,000 events come in. */
const BUDGET_MS = 8;
/** A page that nobody sees lets go of its connection after so long: a browser has only six for all its tabs. Not that of a
 * run that is cancelled when nobody follows it: who looks at another tab has not gone away. */
const HIDDEN_MS = 15_000;
/** The run itself is asked for again after so long, beside each of its lifecycle events. */
const RUN_EVERY_MS = 5000;
/** After so long without an event, all that was said before has been read. */
const QUIET_MS = 800;
/** One that has ended does not change, but it can be removed. */
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
    this.polling = poll((signal) => this.#look(signal), RUN_EVERY_MS);
    /** How things are with the stream, as the client says; `failed` if it can't be read. */
    this.state = "connecting";
  }

  close() {
    this.closed.abort();
    this.polling.stop();
    clearInterval(this.ticking);
    document.removeEventListener("visibilitychange", this.seen);
    for (const part of [this.events, this.log, this.output]) part?.close();
  }

  async #look(signal) {
    try {
      const askedAt = performance.now();
      const run = await api.run(this.id, signal);
      // Else the events would come later by a pause that has no reason any more, and say otherwise until then.
      if (this.state === "waiting") api.retryNow();
      this.askedAt = askedAt;
      const isFirst = this.run === null;
      const hasEnded = isEnded(run) && !(this.run && isEnded(this.run));
      this.run = run;
      if (isFirst) this.#build();
      this.#showRun();
      if (hasEnded || !isEnded(run)) this.side.refresh(run);
      // Until the stream has come to its end, each answer here makes it try again.
      return isEnded(run) && ["ended", "failed"].includes(this.state) ? ENDED_EVERY_MS : RUN_EVERY_MS;
    } catch (error) {
      if (error.status !== 404) throw error;
      return this.#gone();
    }
  }

  #gone() {
    this.close();
    const text = this.run ? "It was removed from the host." : "The host has no such run. It may have been removed.";
    fill(this.element, h("div", { class: "empty" }, h("h1", { class: "mono" }, this.id), h("p", null, text), h("a", { href: "#/" }, "All runs")));
  }

  #build() {
    const { run } = this;
    this.progress = new Progress();
    this.pace = new Pace();
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
    this.tabs = tabs("What the run says", [
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
    /** When the newest event was said: it is never later than that here, whatever the clocks say. */
    this.newestMs = Date.parse(run.created_at);
    this.readAt = performance.now();
    /** When the last event came that says how the run stands. */
    this.heardAt = -Infinity;
    /** The newest event that there was when the stream opened; not known at first. */
    this.storedTo = Infinity;
    this.ticking = setInterval(() => this.#draw(), 1000);
    this.seen = () => this.#onVisibility();
    document.addEventListener("visibilitychange", this.seen);
    this.#follow();
  }

  // ---- what the run says

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
        this.head.setStream(`The events can’t be read: ${error.message}`);
      }
    }
  }

  #onState({ state, error }) {
    this.state = state;
    const texts = { waiting: "Reconnecting…", polling: "No stream comes through; asking now and then", connecting: "" };
    this.head.setStream(texts[state] ?? "", state === "open" ? "live" : state, error?.message);
    if (state !== "open") return;
    // After a restart of the host, the run may have gone on without a word here.
    this.polling.now();
    this.#learnEnd();
  }

  /** Asks how much of what comes now was there before. */
  async #learnEnd() {
    this.storedTo = Infinity;
    // Without an answer, only silence tells.
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
    // Another log under the same id: the host was given another database, or the id was used again.
    else if (data.reason === "unknown-position") dispatchEvent(new HashChangeEvent("hashchange"));
    else if (data.to) {
      this.store.gap(data.from ?? 1, data.to);
      // Of what the log says no more, the run itself knows at least this.
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
    this.heardAt = performance.now();
    const at = Date.parse(event.timestamp);
    if (this.timeline.isActive) this.pace.begin(at, { anew: event.type === "run.started" });
    else this.pace.hold(at);
    if (this.timeline.ended) {
      this.output.finish();
      this.progress.close(event.type.replace("run.", ""));
    }
    this.isRunOld = true;
  }

  // ---- what is seen

  #drawSoon() {
    this.drawing ??= nextFrame().then(() => {
      this.drawing = null;
      if (!this.closed.signal.aborted) this.#draw();
    });
  }

  /** Whether what is read now is said now: all that was stored has come, it is not far back, or nothing more came. */
  get #isCaughtUp() {
    return this.store.last === this.storedTo || performance.now() - this.readAt > QUIET_MS || api.hostNow() - this.newestMs < 2 * QUIET_MS;
  }

  /** The attempts, as far as that is known and not otherwise than the rest of the page has the run. */
  #attempts(isCaughtUp) {
    const isRunNewer = !isCaughtUp || this.askedAt > this.heardAt;
    const attempts = isRunNewer ? this.timeline.attemptsOf(this.run) : this.timeline.attempts;
    // What has not come yet may have been another span, and the last one is longer than the past that was read.
    return isCaughtUp || this.timeline.ended ? attempts : attempts.with(-1, { ...attempts.at(-1), isPartial: true });
  }

  #draw() {
    // While the past is read, its own time counts; then the host's.
    const isCaughtUp = this.#isCaughtUp;
    const now = isCaughtUp ? Math.max(this.newestMs, api.hostNow()) : this.newestMs;
    this.head.tick();
    this.bars.update(this.progress, this.pace, now, this.timeline.ended || isEnded(this.run));
    const end = isEnded(this.run) && this.run.finished_at ? Date.parse(this.run.finished_at) : now;
    this.attempts.update(this.#attempts(isCaughtUp), end, this.timeline.ended);
    this.tabs.setCount("events", this.store.last);
    this.tabs.setCount("log", this.logged);
    this.tabs.setCount("output", this.output.targets);
    if (this.output.targets > 0) this.tabs.suggest("output");
    if (!this.isRunOld) return;
    this.isRunOld = false;
    this.#showHead();
    this.polling.now();
  }

  #showRun() {
    this.side.update(this.run);
    this.#showHead();
    this.#draw();
  }

  #showHead() {
    const run = this.#runAsHeard;
    this.head.update(run);
    document.title = `${statusWord(run)} · ${shortId(this.id)} – streamtask`;
  }

  /** The run; if its events have told of its end before the host was asked again, with that. */
  get #runAsHeard() {
    if (!this.timeline.ended || isEnded(this.run)) return this.run;
    const { outcome, to } = this.timeline.attempts.at(-1);
    return { ...this.run, status: outcome, finished_at: new Date(to).toISOString() };
  }
}

/** The next frame; of a page that is not seen, and so gets none, a moment later. */
function nextFrame() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
