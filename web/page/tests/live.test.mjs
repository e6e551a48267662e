// The list of runs, as a stream keeps it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, openPage, setHidden, until } from "./browser.mjs";
import { FakeRuns, run } from "./fakes.mjs";

const shows = (page, wanted) => until(page, (wanted) => [...document.querySelectorAll(".runs tbody .cell-run a")].map((link) => link.textContent).join() === wanted, wanted);
const statuses = (page) => page.$$eval(".runs tbody .status", (list) => list.map((one) => one.textContent));

test("runs come, change and go by one connection", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  const polls = [];
  fake.runs = [run("older", { status: "completed" })];
  const first = run("first");
  fake.runs.unshift(first);
  const page = await at.open();
  page.on("request", (request) => request.url().includes("/api/runs") && polls.push(request.url()));
  await shows(page, "first,older");
  const second = run("second", { status: "queued" });
  fake.put(second);
  await shows(page, "second,first,older");
  assert.deepEqual(await statuses(page), ["queued", "running", "completed"]);
  fake.put({ ...first, status: "failed" });
  await page.locator(".runs .status", { hasText: "failed" }).waitFor();
  assert.deepEqual(await statuses(page), ["queued", "failed", "completed"]);
  fake.remove("older");
  await shows(page, "second,first");
  assert.deepEqual([fake.asked.length, polls], [1, []]);
});

test("with another filter there is another connection, and the one before is closed", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  const going = run("going");
  fake.runs = [run("failing", { status: "failed" }), going];
  const page = await at.open();
  await shows(page, "failing,going");
  await page.getByLabel("Status").selectOption("running");
  await shows(page, "going");
  await eventually(() => fake.connections === 1);
  assert.deepEqual(fake.asked.map((query) => query.get("status")), [null, "running"]);
  fake.put({ ...going, status: "completed" });
  await shows(page, "");
  await page.getByText("No runs match this filter").waitFor();
});

test("after a lost connection the list is what the host has now", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  const [a, b] = [run("a"), run("b")];
  fake.runs = [b, a];
  const page = await at.open();
  await shows(page, "b,a");
  // While nobody hears it: one goes, one comes, one ends.
  fake.runs = [run("c"), { ...a, status: "completed" }];
  fake.cut();
  await shows(page, "c,a");
  assert.deepEqual(await statuses(page), ["running", "completed"]);
  await eventually(() => fake.connections === 1);
});

test("a page that is not seen has no connection, and what it missed is there when it is", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.runs = [run("a")];
  const page = await at.open();
  await shows(page, "a");
  await setHidden(page, true);
  await eventually(() => fake.connections === 0);
  fake.put(run("b"));
  await setHidden(page, false);
  await shows(page, "b,a");
  assert.equal(fake.connections, 1);
});

test("who leaves the list closes the connection", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.runs = [run("a")];
  const page = await at.open();
  await shows(page, "a");
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await eventually(() => fake.connections === 0);
});

test("below the newest there are older ones, and what changes among these is shown too", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["counter"], { answer: fake.answer });
  if (!at) return;
  const { client } = at.host;
  for (let nth = 1; nth <= 60; nth += 1) await client.start("demo/counter", { steps: 0, delay_ms: 0 }, { id: `n${nth}` });
  fake.runs = (await client.runs({ limit: 100 })).runs;
  const page = await at.open();
  const ids = (from, to) => Array.from({ length: from - to + 1 }, (_, nth) => `n${from - nth}`);
  await shows(page, ids(60, 11).join());
  const oldest = fake.runs.at(-1);
  // Not in the list yet, and so not without those before it.
  fake.put({ ...oldest, status: "failed" });
  const [, next] = [await client.start("demo/counter", { steps: 0, delay_ms: 0 }, { id: "n61" }), (await client.runs({ limit: 1 })).runs[0]];
  fake.put(next);
  await shows(page, ids(61, 11).join());
  await page.getByRole("button", { name: "Show older" }).click();
  await shows(page, ids(61, 1).join());
  fake.put({ ...oldest, status: "failed" });
  await page.locator(".runs tbody tr:last-child .status", { hasText: "failed" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Show older" }).isVisible(), false);
});

test("a thousand changes in a moment are drawn, and the last of each run is what is seen", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.runs = Array.from({ length: 10 }, (_, nth) => run(`r${nth}`)).reverse();
  const page = await at.open();
  await shows(page, "r9,r8,r7,r6,r5,r4,r3,r2,r1,r0");
  for (let nth = 0; nth < 1000; nth += 1) {
    const one = fake.runs[nth % 10];
    fake.say("run.state", { ...one, status: nth >= 990 ? "completed" : ["running", "paused"][nth % 2], attempt: 1 + (nth % 7) });
  }
  await until(page, () => document.querySelectorAll(".runs .status-completed").length === 10);
});

test("an active run that newer ones have pushed out of what the host tells is looked after", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  const going = await at.host.client.start("demo/probe", { do: "until-parameter", name: "stop" }, { id: "going" });
  fake.runs = [await going.info()];
  const page = await at.open();
  await shows(page, "going");
  for (let nth = 0; nth < 50; nth += 1) fake.put(run(`n${nth}`, { created_at: new Date(Date.now() + nth * 1000).toISOString(), status: "completed" }));
  await until(page, () => document.querySelectorAll(".runs tbody tr").length === 51);
  await going.setParameter("stop", true);
  await going.result();
  // The host said nothing of it in its stream.
  await page.locator(".runs tbody tr:last-child .status", { hasText: "completed" }).waitFor();
});

test("a history of any length can be seen to its end, and what is shown of it stays up to date", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.hasPages = true;
  fake.runs = Array.from({ length: 1530 }, (_, nth) => run(`n${nth + 1}`, { status: [7, 300].includes(nth) ? "running" : "completed" })).reverse();
  const page = await at.open();
  const older = page.getByRole("button", { name: "Show older runs" });
  const said = page.locator(".home-runs > .head .muted");
  const ids = () => page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  const shown = (length) => until(page, (length) => document.querySelectorAll(".runs tbody tr").length === length, length);
  await shown(50);
  assert.equal(await said.textContent(), "50 shown, more available");
  // New ones move the pages, and don't hide what is between.
  for (let nth = 1531; nth <= 1540; nth += 1) fake.put(run(`n${nth}`));
  await shown(60);
  while (await older.isVisible()) {
    const before = (await ids()).length;
    await older.click();
    await until(page, (before) => document.querySelectorAll(".runs tbody tr").length > before, before);
  }
  assert.equal(await said.textContent(), "1,540 shown");
  assert.deepEqual(await ids(), fake.runs.map(({ id }) => id));
  // Of those far below the host says nothing by itself.
  fake.runs = fake.runs.filter(({ id }) => id !== "n301").map((one) => (one.id === "n8" ? { ...one, status: "failed" } : one));
  fake.put(run("newest"));
  await until(page, () => document.querySelector(".runs tbody a").textContent === "newest");
  await page.locator(".runs tbody .status", { hasText: "failed" }).waitFor();
  await until(page, () => ![...document.querySelectorAll(".runs tbody a")].some((link) => link.textContent === "n301"));
  assert.deepEqual(await ids(), fake.runs.map(({ id }) => id));
});

test("a list that is left open does not grow for ever, and says that there are older ones", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.hasPages = true;
  const page = await at.open();
  await page.getByText("No runs yet").waitFor();
  for (let nth = 1; nth <= 1100; nth += 1) fake.put(run(`n${nth}`, { status: "completed" }));
  await until(page, () => document.querySelector(".runs tbody a")?.textContent === "n1100");
  await page.getByText("1,000 shown, more available").waitFor();
  await page.getByRole("button", { name: "Show older runs" }).click();
  await page.getByText("1,100 shown").waitFor();
  const ids = await page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  assert.deepEqual(ids, fake.runs.map(({ id }) => id));
});

test("a list of exactly as many as are shown has no older ones", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.runs = Array.from({ length: 50 }, (_, nth) => run(`n${nth}`, { status: "completed" })).reverse();
  const page = await at.open();
  await page.getByText("50 shown", { exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Show older" }).isVisible(), false);
});

test("runs that leave the list make room for those that follow", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const { client } = at.host;
  for (let nth = 1; nth <= 55; nth += 1) await client.start("demo/probe", { do: "echo" }, { id: `n${nth}`, delay: "1h" });
  const page = await at.open("#/?status=delayed");
  await page.getByText("50 shown, more available").waitFor();
  for (let nth = 55; nth > 5; nth -= 1) await client.run(`n${nth}`).cancel();
  await shows(page, "n5,n4,n3,n2,n1");
});

test("many runs that begin at once are all in the list", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const { client } = at.host;
  const start = (nth) => client.start("demo/probe", { do: "echo" }, { id: `n${nth}`, delay: "1h" });
  await start(0);
  const page = await at.open();
  await shows(page, "n0");
  await Promise.all(Array.from({ length: 300 }, (_, nth) => start(nth + 1)));
  await page.getByText("301 shown", { exact: true }).waitFor();
  const ids = await page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  const { runs } = await client.runs({ limit: 1000 });
  assert.deepEqual(ids, runs.map(({ id }) => id));
});

test("who comes back to a list finds it as it was, with all that came meanwhile", async (t) => {
  const fake = new FakeRuns();
  const at = await openPage(t, ["probe"], { answer: fake.answer });
  if (!at) return;
  fake.hasPages = true;
  fake.runs = Array.from({ length: 80 }, (_, nth) => run(`n${nth + 1}`, { status: "completed" })).reverse();
  const page = await at.open();
  await page.getByRole("button", { name: "Show older runs" }).click();
  await page.getByText("80 shown", { exact: true }).waitFor();
  await setHidden(page, true);
  await eventually(() => fake.connections === 0);
  for (let nth = 81; nth <= 400; nth += 1) fake.put(run(`n${nth}`, { status: "completed" }));
  await setHidden(page, false);
  await page.getByText("400 shown", { exact: true }).waitFor();
  const ids = () => page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  assert.deepEqual(await ids(), fake.runs.map(({ id }) => id));
  // Of what is more than anybody reads, the newest, and the older ones for who asks.
  await setHidden(page, true);
  await eventually(() => fake.connections === 0);
  for (let nth = 401; nth <= 1800; nth += 1) fake.put(run(`n${nth}`, { status: "completed" }));
  await setHidden(page, false);
  await page.getByText("1,000 shown, more available", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Show older runs" }).click();
  await page.getByText("1,200 shown, more available", { exact: true }).waitFor();
  assert.deepEqual(await ids(), fake.runs.slice(0, 1200).map(({ id }) => id));
});
