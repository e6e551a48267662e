import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, openPage, reaches, rows, setHidden, until } from "./browser.mjs";

const input = (value) => JSON.stringify(value);

test("a run is started from the form, and shown to its end", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open();
  await page.getByRole("link", { name: /counter/ }).first().click();
  await page.getByRole("heading", { name: "demo/counter" }).waitFor();
  assert.equal(await page.getByLabel("steps").inputValue(), "10", "the form has the schema's defaults");
  await page.getByLabel("steps").fill("3");
  await page.getByLabel("delay_ms").fill("1");
  await page.getByText("More options").click();
  await page.getByLabel("Run id").fill("from-form");
  await page.getByLabel("Labels").fill("project:alpha");
  await page.getByLabel("When the last viewer leaves").selectOption("cancel after 10 s");
  await page.getByRole("button", { name: "Start" }).click();
  await reaches(page, "completed");
  assert.match(page.url(), /#\/runs\/from-form$/);
  const run = await at.host.client.run("from-form").info();
  assert.deepEqual([run.input, run.labels, run.on_disconnect], [{ delay_ms: 1, steps: 3 }, { project: "alpha" }, "cancel"]);
  assert.equal(await page.getByRole("progressbar", { name: "Progress of the run" }).getAttribute("aria-valuenow"), "100");
  await page.locator(".outcome .json-key", { hasText: "steps" }).waitFor();
  await until(page, () => document.querySelector(".tab-count").textContent === "7");
  assert.deepEqual(await rows(page), [1, 2, 3, 4, 5, 6, 7]);
});

test("what the host refuses is shown at the field", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/tasks/demo/counter");
  await page.getByLabel("steps").fill("-1");
  await page.getByRole("button", { name: "Start" }).click();
  await page.locator(".field", { hasText: "steps" }).locator(".field-problem:not([hidden])").waitFor();
  assert.equal(await page.getByLabel("steps").getAttribute("aria-invalid"), "true");
  await page.getByLabel("steps").fill("a few");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("“a few” is not a number").waitFor();
  await page.getByText("JSON", { exact: true }).click();
  assert.equal(await page.getByLabel("steps").inputValue(), "a few", "what can't be read stays where it is");
  await page.getByLabel("steps").fill("2");
  await page.getByText("JSON", { exact: true }).click();
  assert.deepEqual(JSON.parse(await page.getByLabel("Input as JSON").inputValue()), { delay_ms: 100, steps: 2 });
  assert.deepEqual((await at.host.client.runs()).runs, []);
});

test("a start to which no answer came yet says so, and is made once", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/tasks/demo/counter");
  let answer;
  const released = new Promise((resolve) => (answer = resolve));
  let asked = 0;
  await page.route("**/api/tasks/demo/counter/runs*", async (route) => {
    asked += 1;
    await released;
    await route.continue();
  });
  await page.getByLabel("steps").fill("1");
  await page.keyboard.press("Control+Enter");
  await page.getByRole("button", { name: "Starting…", disabled: true }).waitFor();
  await page.keyboard.press("Control+Enter");
  answer();
  await reaches(page, "completed");
  assert.deepEqual([asked, (await at.host.client.runs()).runs.length], [1, 1]);
});

test("two tabs see the same, a reload comes back to it, and cancel ends it in both", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "ticks", n: 100_000, ms: 20 }, { id: "shared" });
  const one = await at.open("#/runs/shared");
  const two = await at.open("#/runs/shared");
  const hasEvents = () => document.querySelectorAll(".list-row").length > 5;
  await until(one, hasEvents);
  await until(two, hasEvents);
  await one.reload();
  await until(one, hasEvents);
  await one.getByRole("group", { name: "Actions" }).getByRole("button", { name: "Cancel" }).click();
  await one.getByRole("button", { name: "Cancel the run" }).click();
  await reaches(one, "cancelled");
  await reaches(two, "cancelled");
  const end = async (page) => {
    await page.locator(".list").first().press("End");
    await page.locator(".list-row", { hasText: "run.cancelled" }).waitFor();
    return (await rows(page)).at(-1);
  };
  assert.equal(await end(one), await end(two));
});

test("a page that is not seen lets go of a run, but not of one that is cancelled when nobody follows it", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  const { client } = at.host;
  await client.start("demo/probe", { do: "until-cancelled" }, { id: "other" });
  await client.start("demo/probe", { do: "until-cancelled" }, { id: "watched", onDisconnect: "cancel" });
  const followed = async () => (await client.request("GET", "/api/streams")).streams.map(({ run }) => run);
  for (const id of ["watched", "other"]) {
    const page = await at.open("#/nowhere");
    await page.clock.install();
    await page.goto(`${at.url}/#/runs/${id}`);
    await page.reload();
    await page.locator(".list-row", { hasText: "waiting" }).waitFor();
    assert.equal(await page.getByText("When the last viewer leaves").count(), id === "watched" ? 1 : 0);
    await setHidden(page, true);
    // Longer than it keeps a connection, and not so long that one in use would count as silent.
    await page.clock.fastForward(20_000);
  }
  await eventually(async () => !(await followed()).includes("other"));
  assert.deepEqual(await followed(), ["watched"]);
});

test("a run is paused, told something and resumed", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "wait-for-signal" }, { id: "held" });
  const page = await at.open("#/runs/held");
  const actions = page.getByRole("group", { name: "Actions" });
  await actions.getByRole("button", { name: "Pause" }).click();
  await reaches(page, "paused");
  await actions.getByRole("button", { name: "Resume" }).click();
  await reaches(page, "running");
  await actions.getByRole("button", { name: "Parameter" }).click();
  await page.getByLabel("Name").fill("level");
  await page.getByLabel("Value (JSON)").fill('{"high":true}');
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.locator(".panel", { hasText: "Parameters" }).locator(".json-key", { hasText: "level" }).waitFor();
  await actions.getByRole("button", { name: "Signal" }).click();
  await page.getByLabel("Name").fill("go");
  await page.getByLabel("Payload (JSON)").fill("{");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("alert").getByText("Not valid JSON").waitFor();
  await page.getByLabel("Payload (JSON)").fill("1");
  await page.getByRole("button", { name: "Send" }).click();
  await reaches(page, "completed");
  assert.deepEqual(await page.$$eval(".track .span", (spans) => spans.map((span) => span.className.split("-")[1]).filter((kind) => kind !== "queued")), ["running", "paused", "running"]);
});

test("an ended run can be tried again, also with another input, and removed", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  await at.host.client.start("demo/counter", { steps: 1, delay_ms: 0 }, { id: "first", labels: { a: "b" } });
  const page = await at.open("#/runs/first");
  await page.getByRole("button", { name: "Retry" }).click();
  await page.waitForURL(/runs\/(?!first)/);
  await reaches(page, "completed");
  const again = (await at.host.client.runs()).runs[0];
  assert.deepEqual([again.input, again.labels], [{ steps: 1, delay_ms: 0 }, { a: "b", "retry-of": "first" }]);
  await page.goto(`${at.url}/#/runs/first`);
  await page.getByRole("link", { name: "Edit and run again" }).click();
  await until(page, () => document.querySelector(".start input")?.value !== undefined);
  assert.equal(await page.getByLabel("steps").inputValue(), "1");
  await page.goto(`${at.url}/#/runs/first`);
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("button", { name: "Delete the run" }).click();
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.goto(`${at.url}/#/runs/first`);
  await page.getByText("Run not found").waitFor();
});

test("the host is killed and started again under the page, and the page goes on", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "checkpoint-then-wait" }, { id: "survivor" });
  const page = await at.open("#/runs/survivor");
  const list = await at.open("");
  await page.locator(".list-row", { hasText: "saved" }).waitFor();
  await list.getByRole("link", { name: "survivor", exact: true }).waitFor();
  await at.host.kill();
  await page.locator("#host", { hasText: "is not responding" }).waitFor();
  const sign = list.locator("#host", { hasText: "is not responding" });
  await sign.waitFor();
  await list.setViewportSize({ width: 360, height: 740 });
  assert.ok(await sign.evaluate((element) => element.scrollWidth <= element.clientWidth), "it can be read on a phone, too");
  await at.host.start();
  await page.locator(".attempt", { hasText: "Attempt 2" }).waitFor();
  await page.locator("#host", { hasText: /^$/ }).waitFor({ state: "attached" });
  await reaches(page, "running");
  const stored = await page.$$eval(".list-row .event-seq", (cells) => cells.map((cell) => Number(cell.textContent)).sort((a, b) => a - b));
  assert.deepEqual(stored.slice(0, 5), [1, 2, 3, 4, 5], "nothing is missing and nothing is twice");
  await list.getByText("attempt 2").waitFor();
});

test("100,000 events: few rows in the document, the last one seen, the first ones fetched again", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "flood", events: 100_000, bytes: 10 }, { id: "flood" });
  const page = await at.open("#/runs/flood");
  await reaches(page, "completed");
  const last = 100_002;
  await until(page, (text) => document.querySelector(".tab-count").textContent === text, "100,002");
  const sees = (seq) => until(page, (seq) => [...document.querySelectorAll(".list-row")].some((row) => row.children[0].textContent === String(seq) && row.dataset.tone !== "missing"), seq);
  await sees(last);
  assert.ok((await rows(page)).length < 80);
  const list = page.getByRole("listbox", { name: "Events" });
  await list.evaluate((element) => element.scrollTo(0, 0));
  await sees(1);
  await list.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
  await sees(50_001);
  await page.getByRole("button", { name: "Jump to end" }).click();
  await sees(last);
  assert.ok((await rows(page)).length < 80);
  // Of what is not in memory any more, too.
  await page.getByLabel("Search events").fill('"n":777,');
  await sees(778);
  assert.deepEqual(await rows(page), [778]);
  assert.match(await page.locator(".events-state").first().textContent(), /^1 of 100,002$/);
});

test("events are filtered, frozen, copied and opened", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "ticks", n: 100_000, ms: 20 }, { id: "ticks" });
  const page = await at.open("#/runs/ticks", { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByLabel("Type").first().selectOption("tick");
  await until(page, () => document.querySelectorAll(".list-row").length > 2);
  assert.deepEqual([...new Set(await page.$$eval(".list-row .event-type", (cells) => cells.map((cell) => cell.textContent)))], ["tick"]);
  await page.getByRole("button", { name: "Freeze" }).click();
  const isNew = page.locator(".events-state", { hasText: "new" }).first();
  await isNew.waitFor();
  const frozen = await rows(page);
  const said = await isNew.textContent();
  await until(page, (said) => document.querySelector(".events-state").textContent !== said, said);
  assert.deepEqual(await rows(page), frozen);
  await page.getByRole("button", { name: "Copy these events" }).click();
  await page.getByText(/^Copied the/).first().waitFor();
  const copied = (await page.evaluate(() => navigator.clipboard.readText())).split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(copied.slice(-frozen.length).map((event) => event.seq), frozen);
  await page.locator(".list-row").first().click();
  await page.locator(".event-detail").getByText("attempt").first().waitFor();
  await page.getByRole("button", { name: "Unfreeze" }).click();
  await until(page, (last) => [...document.querySelectorAll(".list-row")].some((row) => Number(row.firstChild.textContent) > last), frozen.at(-1));
});

test("a list that was sent to its end follows it, whatever it did before and wherever it was", async (t) => {
  const at = await openPage(t, ["probe"]);
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "ticks", n: 100_000, ms: 10 }, { id: "ticks" });
  const page = await at.open("#/runs/ticks");
  await until(page, () => document.querySelectorAll(".list-row").length > 20);
  const follows = async () => {
    const newest = (await rows(page)).at(-1);
    await until(page, (newest) => [...document.querySelectorAll(".list-row")].some((row) => Number(row.firstChild.textContent) > newest + 50), newest);
  };
  await follows();
  // The browser tells of the way to the beginning after the wish for the end.
  await page.evaluate(async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    document.querySelector(".list").dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
    await frame();
    document.querySelector('[aria-label="Jump to end"]').click();
    await frame();
    await frame();
  });
  await follows();
  for (const wait of [0, 500]) {
    await page.evaluate(async (wait) => {
      const [events, log] = document.querySelectorAll("[role=tab]");
      log.click();
      await new Promise((resolve) => setTimeout(resolve, wait));
      events.click();
    }, wait);
    await follows();
  }
  // Who has gone back is left there, also by a look elsewhere.
  await page.locator(".list").first().press("Home");
  await page.getByRole("tab", { name: "Log" }).click();
  await page.getByRole("tab", { name: "Events" }).click();
  await until(page, () => [...document.querySelectorAll(".list-row")].some((row) => row.firstChild.textContent === "1"));
});

test("the log and what a run draws are shown, and hostile html does nothing", async (t) => {
  // The sanitiser parses the html into a document that runs nothing. Chromium tells of the handler that does not run.
  const at = await openPage(t, ["probe"], { expected: /inline event handler/ });
  if (!at) return;
  const view = (data) => ({ type: "view", data: input(data) });
  const events = [
    view({ op: "text", target: "out", text: "<b>plain</b>" }),
    view({ op: "html", target: "page", html: '<p class="toasts" id="main">shown</p><script>window.hacked=1</script><img src=x onerror="window.hacked=2"><a href="javascript:window.hacked=3">link</a>' }),
    view({ op: "state", state: { "<i>key</i>": "<script>window.hacked=4</script>" } }),
    { type: "log", data: input({ level: "warn", message: "<img src=x onerror=window.hacked=5>" }) },
    { type: "progress", data: input({ id: "<b>item</b>", done: 1, total: 2, message: "<script>window.hacked=6</script>" }) },
    { type: "</span><script>", data: "1" },
  ];
  await at.host.client.start("demo/probe", { do: "send", events }, { id: "drawn" });
  const page = await at.open("#/runs/drawn");
  await page.getByRole("tab", { name: /Output/, selected: true }).waitFor();
  await page.locator("[data-stream=out]", { hasText: "<b>plain</b>" }).waitFor();
  await page.locator("[data-stream=page] p", { hasText: "shown" }).waitFor();
  assert.equal(await page.locator("[data-stream=page] :is([class], [id], script, [onerror], [href^=javascript])").count(), 0);
  await page.getByText("<b>item</b>", { exact: true }).waitFor();
  await page.getByRole("tab", { name: /Log/ }).click();
  await page.getByRole("listbox", { name: "Log" }).getByText("<img src=x onerror=window.hacked=5>").waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
});

test("runs are filtered by task, status, label and time, and the filter is in the address", async (t) => {
  const at = await openPage(t, ["counter", "probe"]);
  if (!at) return;
  const { client } = at.host;
  await client.start("demo/counter", { steps: 1, delay_ms: 0 }, { id: "counted", labels: { project: "alpha" } });
  await client.start("demo/probe", { do: "fail" }, { id: "failing" });
  await client.start("demo/probe", { do: "stubborn" }, { id: "going" });
  const page = await at.open();
  const ids = () => page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  const shows = (wanted) => until(page, (wanted) => [...document.querySelectorAll(".runs tbody .cell-run a")].map((link) => link.textContent).join() === wanted, wanted);
  await shows("going,failing,counted");
  await page.getByLabel("Status").selectOption("failed");
  await shows("failing");
  await page.reload();
  await shows("failing");
  await page.getByLabel("Status").selectOption("");
  await page.getByLabel("Label").fill("project:alpha");
  await page.getByLabel("Label").press("Enter");
  await shows("counted");
  await page.getByLabel("Label").fill("");
  await page.getByLabel("Label").press("Enter");
  await page.getByLabel("Task", { exact: true }).selectOption("demo/probe");
  await shows("going,failing");
  await page.getByLabel("Created").selectOption("900");
  await shows("going,failing");
  await client.start("demo/probe", { do: "echo" }, { id: "later" });
  await shows("later,going,failing");
  assert.deepEqual(await ids(), ["later", "going", "failing"]);
});

test("a long list of runs is shown page by page, and stays in order while new ones come", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const { client } = at.host;
  const start = (nth) => client.start("demo/counter", { steps: 0, delay_ms: 0 }, { id: `n${nth}` });
  for (let nth = 1; nth <= 60; nth += 1) await start(nth);
  const page = await at.open();
  const shown = (length) => until(page, (length) => document.querySelectorAll(".runs tbody tr").length === length, length);
  await shown(50);
  await page.getByRole("button", { name: "Show older" }).click();
  await shown(60);
  for (let nth = 61; nth <= 63; nth += 1) await start(nth);
  await shown(63);
  const ids = await page.$$eval(".runs tbody .cell-run a", (links) => links.map((link) => link.textContent));
  assert.deepEqual(ids, Array.from({ length: 63 }, (_, nth) => `n${63 - nth}`));
});

test("a run's children are shown with how they stand, and lead back to their parent", async (t) => {
  const at = await openPage(t, ["conformance-c", "counter"]);
  if (!at) return;
  await at.host.client.start("demo/conformance-c", { case: "child", task: "counter", input: { steps: 2, delay_ms: 10 } }, { id: "parent" });
  const page = await at.open("#/runs/parent");
  await reaches(page, "completed");
  const child = page.locator(".children .child");
  await child.getByText("completed").waitFor();
  await child.click();
  await page.getByRole("link", { name: "demo/counter" }).waitFor();
  await page.getByRole("link", { name: "parent", exact: true }).click();
  await page.getByRole("heading", { name: "parent" }).waitFor();
});

test("bytes that a run sends are shown and can be saved as they are", async (t) => {
  const at = await openPage(t, ["conformance-c"]);
  if (!at) return;
  await at.host.client.start("demo/conformance-c", { case: "bytes", size: 1000, content_type: "application/x-own" }, { id: "sender" });
  const page = await at.open("#/runs/sender");
  await page.locator(".list-row", { hasText: "application/x-own, 1000 B" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save" }).click()]);
  assert.equal(download.suggestedFilename(), "sender-2.own");
  const { readFile } = await import("node:fs/promises");
  const saved = await readFile(await download.path());
  assert.deepEqual([...saved], Array.from({ length: 1000 }, (_, nth) => nth % 251));
});

test("a file that is no task is told, with the reason", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const { writeFile } = await import("node:fs/promises");
  await writeFile(`${at.host.folder}/tasks/demo/broken.wasm`, "<b>not wasm</b>");
  const page = await at.open("#/tasks");
  await page.locator(".task-item", { hasText: "broken" }).getByText("not a WebAssembly file").waitFor();
  await page.getByRole("link", { name: /broken/ }).click();
  await page.getByText("No version of this file could be loaded").waitFor();
});
