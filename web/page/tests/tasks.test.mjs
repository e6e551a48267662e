// Tasks that are added and removed from the page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { openPage, reaches } from "./browser.mjs";
import { takeUploads } from "./fakes.mjs";

const file = (name, text = "\0asm") => ({ name, mimeType: "application/wasm", buffer: Buffer.from(text) });

/** Drops files onto the page as a browser does. */
function drop(page, files) {
  return page.evaluate(async (files) => {
    const carried = new DataTransfer();
    for (const { name, text } of files) carried.items.add(new File([text], name));
    for (const type of ["dragenter", "dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: carried }));
      if (type === "dragover") window.overlay = document.querySelector(".drop").hidden === false;
    }
    return window.overlay;
  }, files);
}

test("a file that is dropped is added, under the name that it has", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/nowhere");
  const taken = [];
  await takeUploads(page, (bytes, app, task) => {
    taken.push([app, task, bytes.toString()]);
    return { status: 201 };
  });
  await page.goto(`${at.url}/#/tasks`);
  await page.getByRole("button", { name: "Add a task" }).waitFor();
  assert.equal(await drop(page, [{ name: "My words (2).wasm", text: "\0asm1" }]), true);
  const dialog = page.getByRole("dialog", { name: "Add a task" });
  assert.deepEqual([await dialog.getByLabel("App").inputValue(), await dialog.getByLabel("Task").inputValue()], ["default", "My-words-2"]);
  await dialog.getByLabel("App").fill("de mo");
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.getByRole("alert").getByText("App: 1 to 64 letters").waitFor();
  await dialog.getByLabel("App").fill("demo");
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByText("Added demo/My-words-2").waitFor();
  await page.waitForURL(/#\/tasks\/demo\/My-words-2$/);
  assert.deepEqual(taken, [["demo", "My-words-2", "\0asm1"]]);
});

test("a file can be chosen without a mouse, and what is there gets a new version", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/nowhere");
  await takeUploads(page, () => ({ status: 200 }));
  // Before anything can open one: from here on the browser asks the test for the file.
  const asked = page.waitForEvent("filechooser");
  await page.goto(`${at.url}/#/tasks`);
  const button = page.getByRole("button", { name: "Add a task" });
  await button.waitFor();
  await button.focus();
  await page.keyboard.press("Enter");
  await (await asked).setFiles(file("counter.wasm"));
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("App").fill("demo");
  await dialog.getByText("demo/counter already exists").waitFor();
  await page.keyboard.press("Enter");
  await page.getByText("demo/counter has a new version").waitFor();
});

test("what the host does not take is told with its reason, and can be mended", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/nowhere");
  const answers = [
    { status: 202 },
    { status: 422, problem: ["invalid-task", "it exports no `process`"] },
    { status: 413, problem: ["too-large", "the file has more than 64 MiB"] },
    { status: 403, problem: ["uploads-disabled", "this host takes no uploads"] },
    { status: 201 },
  ];
  await takeUploads(page, () => answers.shift());
  await page.goto(`${at.url}/#/`);
  const dialog = page.getByRole("dialog");
  await page.locator("input[type=file]").setInputFiles([file("large.wasm"), file("notes.txt"), file("one.wasm")]);
  await dialog.getByText("large.wasm").waitFor();
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByText("Added default/large. The host is loading it.").waitFor();
  await page.getByText("notes.txt is not a .wasm file").waitFor();
  for (const text of ["Not a valid task: it exports no `process`", "the file has more than 64 MiB", "this host takes no uploads"]) {
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByRole("alert").getByText(text, { exact: true }).waitFor();
  }
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByText("Added default/one").waitFor();
});

test("where the host takes no uploads, there is nothing to add with", async (t) => {
  const at = await openPage(t, ["counter"]);
  if (!at) return;
  const page = await at.open("#/tasks");
  await page.locator(".task-item").waitFor();
  assert.equal(await page.getByRole("button", { name: "Add a task" }).isVisible(), false);
  assert.equal(await drop(page, [{ name: "a.wasm", text: "\0asm" }]), false);
  await page.goto(`${at.url}/#/tasks/demo/counter`);
  await page.locator(".start").waitFor();
  assert.equal(await page.getByRole("button", { name: "Remove" }).isVisible(), false, "nor to remove with");
  await page.goto(`${at.url}/#/tasks`);
  await page.locator(".task-item").waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
});

test("the host takes what is added, serves it, and says why it does not take what is no task", async (t) => {
  const at = await openPage(t, ["counter"], { flags: ["--uploads"], expected: /422/ });
  if (!at) return;
  const page = await at.open("#/tasks");
  const add = async (name, bytes, task) => {
    const asked = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Add a task" }).click();
    await (await asked).setFiles({ name, mimeType: "application/wasm", buffer: bytes });
    const dialog = page.getByRole("dialog", { name: "Add a task" });
    await dialog.getByLabel("App").fill("demo");
    await dialog.getByLabel("Task").fill(task);
    await dialog.getByRole("button", { name: "Add" }).click();
    return dialog;
  };
  const counter = await readFile(`${at.host.folder}/tasks/demo/counter.wasm`);
  await add("anything.wasm", counter, "added");
  await page.getByText("Added demo/added").waitFor();
  await page.waitForURL(/#\/tasks\/demo\/added$/);
  const run = await at.host.client.start("demo/added", { steps: 1, delay_ms: 0 });
  assert.deepEqual(await run.result(), { steps: 1 });
  await page.goto(`${at.url}/#/tasks`);
  const dialog = await add("broken.wasm", Buffer.from("no task"), "broken");
  await dialog.getByRole("alert").getByText(/not|wasm/i).waitFor();
});

test("a task is removed by keys alone, after a question that says what happens, and what it said stays", async (t) => {
  const at = await openPage(t, ["probe", "counter"], { flags: ["--uploads"] });
  if (!at) return;
  await at.host.client.start("demo/probe", { do: "until-cancelled" }, { id: "going" });
  const page = await at.open("#/tasks/demo/probe");
  const button = page.getByRole("button", { name: "Remove" });
  await button.waitFor();
  await button.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Remove demo/probe?" });
  await dialog.waitFor();
  const told = await dialog.evaluate((element) => document.getElementById(element.getAttribute("aria-describedby")).textContent);
  for (const what of ["demo/probe.wasm is deleted from the host’s tasks folder", "Active runs finish", "Queued runs wait", "manifest stays"]) assert.ok(told.includes(what), `${what}: ${told}`);
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  assert.equal(await focused(), "Back", "Enter alone does no harm");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await focused(), "Remove", "who did not want to is back where they were");
  assert.notEqual((await at.host.client.task("demo/probe")).version, null);

  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Remove the task");
  await page.keyboard.press("Enter");
  await page.getByText("Removed demo/probe").waitFor();
  await page.waitForURL(/#\/tasks$/);
  await page.locator(".task-item", { hasText: "counter" }).waitFor();
  assert.equal(await page.locator(".task-item", { hasText: "probe" }).count(), 0);
  await assert.rejects(at.host.client.task("demo/probe"), { kind: "unknown-task" });
  assert.equal((await at.host.client.run("going").info()).status, "running");
  await at.host.client.run("going").cancel();
  await page.goto(`${at.url}/#/runs/going`);
  await reaches(page, "cancelled");
  await page.goto(`${at.url}/#/tasks/demo/probe`);
  await page.getByText("Task not found.").waitFor();
  assert.equal(await button.isVisible(), false);
});

test("why a task can't be removed is told where it was asked", async (t) => {
  const at = await openPage(t, ["counter"], { flags: ["--uploads"] });
  if (!at) return;
  const page = await at.open("#/tasks/demo/counter");
  await page.getByRole("button", { name: "Remove" }).click();
  await at.host.client.request("DELETE", "/api/tasks/demo/counter");
  await page.getByRole("button", { name: "Remove the task" }).click();
  await page.getByRole("alert").getByText("there is no task demo/counter").waitFor();
});
