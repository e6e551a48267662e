// The pictures in the book are those that the script takes, and it still can.

import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";

import { PICTURES, WIDTH, takeAll } from "../screenshots.mjs";
import { afterwards, findHost, startBrowser } from "../../client/tests/harness.mjs";

/** A page with pictures should not be slow to load. */
const MAX_BYTES = 150_000;

/** The width and the height of a WebP file in the extended format (RFC 9649, section 2.7), which Chromium writes. */
function size(file) {
  assert.equal(file.toString("latin1", 0, 4) + file.toString("latin1", 8, 16), "RIFFWEBPVP8X");
  return [file.readUIntLE(24, 3) + 1, file.readUIntLE(27, 3) + 1];
}

async function pictures(folder) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".webp")).sort();
  const sizes = await Promise.all(names.map(async (name) => size(await readFile(join(folder, name)))));
  return names.map((name, nth) => [name, ...sizes[nth]]);
}

test("the book has the pictures that the script takes", async (t) => {
  const binary = await findHost(t);
  const browser = binary && (await startBrowser(t));
  if (!browser) return;
  const folder = await mkdtemp(join(tmpdir(), "streamtask-pictures-"));
  afterwards(t, () => rm(folder, { recursive: true, force: true }));
  const paths = await takeAll({ binary, browser, folder });
  const taken = await pictures(folder);
  assert.deepEqual(taken.map(([name]) => name), paths.map((path) => basename(path)).sort());
  assert.ok(taken.every(([, width]) => width === WIDTH), JSON.stringify(taken));
  assert.deepEqual(await pictures(PICTURES), taken, "take them again: cargo xtask screenshots");
  for (const [name] of taken) {
    assert.ok((await readFile(join(PICTURES, name))).length < MAX_BYTES, `${name} is large`);
  }
});
