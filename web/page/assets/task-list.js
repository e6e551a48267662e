// What the host has loaded, looked at while someone wants to know.

import * as api from "./api.js";
import { poll } from "./poll.js";
import { noteTasks } from "./uploads.js";

/** Pause between two looks, in milliseconds. Tasks change when someone copies a file, which is seldom. */
const EVERY_MS = 5000;

/** Calls `update` with the host's list now, and when it is another. @returns {() => void} what ends it */
export function watchTasks(update) {
  let last = "";
  const polling = poll(async (signal) => {
    const listed = await api.tasks(signal);
    const now = JSON.stringify(listed);
    if (now === last) return;
    last = now;
    noteTasks(listed);
    update(listed);
  }, EVERY_MS);
  return polling.stop;
}
