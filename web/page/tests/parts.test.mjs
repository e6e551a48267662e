// The parts of the page that know nothing of a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventStore, PAGE } from "../assets/event-store.js";
import { ago, bytes, duration, shortId } from "../assets/format.js";
import { TimeLeft } from "../assets/time-left.js";
import { fieldOf } from "../assets/schema.js";
import { Selection, wordsFilter } from "../assets/selection.js";
import { Timeline } from "../assets/timeline.js";

test("the time left follows the rate, and a pause does not count", () => {
  const timeLeft = new TimeLeft();
  assert.equal(timeLeft.look(undefined, 0), undefined);
  timeLeft.begin(0);
  for (let step = 0; step <= 10; step += 1) timeLeft.look(step / 100, step * 1000);
  assert.equal(Math.round(timeLeft.look(0.1, 10_000)), 90_000);
  timeLeft.pause(10_000);
  assert.equal(timeLeft.look(0.1, 500_000), undefined);
  timeLeft.begin(1_000_000);
  assert.equal(Math.round(timeLeft.look(0.1, 1_000_000)), 90_000);
  assert.equal(timeLeft.look(1, 1_000_000), undefined);
  timeLeft.begin(1_001_000, { anew: true });
  assert.equal(timeLeft.look(0.2, 1_001_000), undefined, "an attempt begins anew");
});

test("a schema becomes fields: references, choices, what may be null, lists", () => {
  const field = fieldOf({
    type: "object",
    required: ["b"],
    properties: {
      a: { type: ["integer", "null"], minimum: 0, default: null },
      b: { $ref: "#/$defs/How" },
      c: { anyOf: [{ type: "string", maxLength: 4000 }, { type: "null" }] },
      d: { type: "array", items: { type: "string" } },
      e: { enum: ["x", 1, null] },
      f: { type: "object", properties: { g: { type: "boolean" } } },
      h: true,
    },
    $defs: { How: { oneOf: [{ const: "panic", description: "Panics." }, { const: "exit" }] } },
  });
  const by = Object.fromEntries(field.fields.map((one) => [one.name, one]));
  assert.equal(field.fields[0].name, "b", "what has to be there comes first");
  assert.deepEqual([by.a.kind, by.a.nullable, by.a.min], ["integer", true, 0]);
  assert.deepEqual(by.b.choices.map((choice) => choice.value), ["panic", "exit"]);
  assert.deepEqual([by.c.kind, by.c.long, by.c.nullable], ["string", true, true]);
  assert.deepEqual([by.d.kind, by.d.item.kind], ["array", "string"]);
  assert.deepEqual(by.e.choices.map((choice) => choice.value), ["x", 1, null]);
  assert.deepEqual([by.f.kind, by.f.fields[0].kind], ["object", "boolean"]);
  assert.equal(by.h.kind, "json");
});

test("a schema that refers to itself, or to nothing, has a form all the same", () => {
  const endless = { type: "object", properties: { next: { $ref: "#" } } };
  let depth = 0;
  for (let field = fieldOf(endless); field.kind === "object"; field = field.fields[0]) depth += 1;
  assert.ok(depth > 1 && depth < 10);
  assert.equal(fieldOf({ $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }).kind, "json");
  assert.equal(fieldOf({ $ref: "https://example.com/schema" }).kind, "json");
  assert.equal(fieldOf({}).kind, "json");
  assert.equal(fieldOf(null).kind, "json");
});

const at = (seconds) => new Date(seconds * 1000).toISOString();
const host = (type, seconds, data = {}) => ({ type: `run.${type}`, timestamp: at(seconds), data });

test("attempts have spans of waiting, running and being paused", () => {
  const timeline = new Timeline(0);
  const events = [
    host("queued", 0),
    host("started", 2, { attempt: 1, version: "v1" }),
    host("paused", 3),
    host("signal", 4, { name: "go" }),
    host("resumed", 5),
    host("retrying", 6, { attempt: 2, error: { kind: "failure", message: "no" }, not_before: at(9) }),
    host("started", 9, { attempt: 2, version: "v1" }),
    host("completed", 10),
  ];
  for (const event of events) assert.ok(timeline.update(event), event.type);
  const [first, second] = timeline.attempts;
  assert.deepEqual(first.spans.map((span) => [span.kind, span.from / 1000, span.to / 1000]), [
    ["queued", 0, 2],
    ["running", 2, 3],
    ["paused", 3, 5],
    ["running", 5, 6],
  ]);
  assert.deepEqual([first.outcome, first.error.message, first.marks[0].text], ["retried", "no", "signal go"]);
  assert.deepEqual(second.spans.map((span) => span.kind), ["delayed", "running"]);
  assert.deepEqual([second.outcome, timeline.ended, timeline.isActive], ["completed", true, false]);
});

test("a run that is further than its events says how its attempts stand, without times that nobody knows", () => {
  const timeline = new Timeline(0);
  timeline.update(host("queued", 0));
  timeline.update(host("started", 2, { attempt: 1, version: "v1" }));
  const looks = (run) => timeline.attemptsOf({ version: "v2", ...run }).map(({ number, state, isPartial = false }) => [number, state, isPartial]);
  assert.deepEqual(looks({ status: "running", attempt: 1 }), [[1, "running", false]]);
  assert.deepEqual(looks({ status: "paused", attempt: 1 }), [[1, "paused", true]]);
  assert.deepEqual(looks({ status: "failed", attempt: 1 }), [[1, "failed", true]]);
  assert.deepEqual(looks({ status: "running", attempt: 3 }), [[1, "retried", true], [3, "running", true]]);
  assert.equal(timeline.attempts.length, 1, "what the events said stays as it is");
  timeline.update(host("cancelled", 3));
  assert.deepEqual(timeline.attemptsOf({ status: "running", attempt: 1, version: "v1" }), timeline.attempts, "after the end nothing is newer");
});

const event = (seq, more) => ({ seq, type: "e", data: { n: seq }, timestamp: at(seq), ...more });
const many = (from, to, more) => Array.from({ length: to - from + 1 }, (_, nth) => event(from + nth, more));
const changed = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

test("of many events only some are kept, and the others are fetched again when wanted", async () => {
  const fetched = [];
  const store = new EventStore(async (after, count) => {
    fetched.push(after);
    return { events: many(after + 1, after + count), gapTo: 0 };
  });
  for (let from = 1; from <= 100_000; from += 1000) store.append(many(from, from + 999));
  assert.ok(store.pages.size * PAGE <= 25_000, `${store.pages.size} pages are kept`);
  assert.equal(store.get(100_000).data.n, 100_000);
  assert.equal(store.get(1), undefined);
  const loaded = changed(store, "loaded");
  store.want([1, 2, 3]);
  await loaded;
  assert.equal(store.get(3).data.n, 3);
  assert.deepEqual(fetched, [0]);
  assert.equal(store.get(100_000).data.n, 100_000, "the newest stay");
});

test("large events are bounded by their size, not by their number", () => {
  const store = new EventStore(async () => ({ events: [], gapTo: 0 }));
  const data = "x".repeat(100_000);
  for (let from = 1; from <= 2000; from += 100) store.append(many(from, from + 99, { data }));
  assert.ok(store.chars < 64 << 20, `${store.chars} characters are kept`);
  assert.ok(store.get(2000));
});

test("an event that comes twice is taken once, and a gap is told", () => {
  const store = new EventStore(async () => ({ events: [], gapTo: 0 }));
  store.gap(1, 10);
  store.append(many(11, 20));
  store.append(many(15, 22));
  assert.deepEqual([store.first, store.last], [11, 22]);
  store.gap(23, 24);
  store.append(many(25, 26));
  assert.deepEqual([store.first, store.last], [11, 26], "a hole does not hide what is before it");
});

test("a search finds what is in memory no longer, and what comes meanwhile, once and in order", async () => {
  const all = many(1, 60_000);
  const store = new EventStore(async (after, count) => ({ events: all.slice(after, after + count), gapTo: 0 }));
  for (let from = 0; from < 50_000; from += 1000) store.append(all.slice(from, from + 1000));
  assert.equal(store.get(1), undefined);
  const selection = new Selection(store, async function* read() {
    for (let from = 0; from < 50_000; from += 1000) {
      // What is said while the search goes on.
      if (from === 20_000) store.append(all.slice(50_000, 60_000));
      yield all.slice(from, from + 1000);
    }
  });
  await selection.filter((one) => one.seq % 10_000 === 0);
  assert.deepEqual(selection.found, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
  await selection.filter(null);
  assert.equal(selection.size, 60_000);
  selection.close();
});

test("a frozen list shows nothing new, and counts the new events", () => {
  const store = new EventStore(async () => ({ events: [], gapTo: 0 }));
  const selection = new Selection(store, async function* read() {});
  store.append(many(1, 10));
  selection.freeze(true);
  store.append(many(11, 15));
  assert.deepEqual([selection.size, selection.unseen], [10, 5]);
  selection.freeze(false);
  assert.deepEqual([selection.size, selection.unseen], [15, 0]);
});

test("each word of a search has to be in the type or the data", () => {
  const finds = wordsFilter("Step page");
  assert.ok(finds({ type: "step", data: { text: "Page 3" } }));
  assert.ok(!finds({ type: "step", data: {} }));
  assert.equal(wordsFilter("  "), null);
});

test("values are written for people", () => {
  assert.deepEqual([duration(0), duration(950), duration(1500), duration(61_000), duration(3_720_000)], ["0 ms", "950 ms", "1.5 s", "1 min 01 s", "1 h 02 min"]);
  assert.deepEqual([bytes(10), bytes(1536), bytes(20 << 20)], ["10 B", "1.5 KiB", "20 MiB"]);
  assert.equal(ago(at(0), 120_000), "2 min ago");
  assert.equal(shortId("0193e2a0-1111-7222-8333-444455556666"), "0193e2a0…556666");
  assert.equal(shortId("mine"), "mine");
});
