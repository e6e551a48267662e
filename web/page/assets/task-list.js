// Polls the list of tasks while a view needs it.

import * as api from "./api.js";
import { poll } from "./poll.js";
import { noteTasks } from "./uploads.js";

/** Pause between two polls, in milliseconds. Tasks change only when someone copies a file, which is rare. */
const EVERY_MS = 5000;

/** Calls `update` with the list of tasks now, and whenever it has changed. @returns {() => void} stops polling */
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
