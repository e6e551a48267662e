// Adds tasks, from a .wasm file that is dropped onto the page or chosen with a button, and removes them; only if the host
// accepts uploads.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { bytes } from "./format.js";
import { attempt, confirm, dialog, notify } from "./notices.js";

/** A valid name of an app or a task. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_NAME = 64;
/** The app of a task without one. */
const DEFAULT_APP = "default";

/** The latest list of tasks; null before the first response. */
let listed = null;

/** Stores the latest list of tasks. */
export function noteTasks(list) {
  listed = list;
}

/** A button that opens a file dialog; hidden until the host is known to accept uploads. */
export function addTaskButton() {
  const input = h("input", {
    type: "file", accept: ".wasm,application/wasm", multiple: true, hidden: true, tabindex: "-1", "aria-label": "Task files",
    on: {
      change: () => {
        const files = [...input.files];
        // Without this, choosing the same file again causes no event.
        input.value = "";
        addTasks(files);
      },
    },
  });
  const add = button("Add a task", { icon: "plus" }, () => input.click());
  const element = h("span", { class: "add-task", hidden: true }, input, add);
  return { element, update: (list) => (element.hidden = list.uploads !== true) };
}

/** Accepts files that are dropped onto the page. */
export function takeDrops() {
  const sign = h("div", { class: "drop", hidden: true, "aria-hidden": "true" }, h("p", null, "Drop a ", h("code", null, ".wasm"), " file to add it as a task"));
  document.body.append(sign);
  /** Number of nested elements under the pointer: the inner element's dragenter comes before the outer one's dragleave. */
  let inside = 0;
  const isOver = (event) => listed?.uploads === true && event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]");
  const leave = () => {
    inside = 0;
    sign.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    inside += 1;
    // A run's page does not load the list of tasks by itself.
    if (listed === null) api.tasks().then(noteTasks, () => {});
    if (!isOver(event)) return;
    event.preventDefault();
    sign.hidden = false;
  });
  addEventListener("dragleave", () => {
    inside -= 1;
    if (inside <= 0) leave();
  });
  addEventListener("dragover", (event) => {
    if (!isOver(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    sign.hidden = false;
  });
  addEventListener("drop", (event) => {
    const takes = isOver(event);
    leave();
    if (!takes) return;
    event.preventDefault();
    addTasks([...event.dataTransfer.files]);
  });
}

/** Adds these files, one after the other, each with a dialog for its name. */
async function addTasks(files) {
  for (const file of files) {
    if (!/\.wasm$/i.test(file.name)) notify(`${file.name} is not a .wasm file`, { kind: "error" });
    else await addTask(file);
  }
}

async function addTask(file) {
  await attempt("Could not load the list of tasks", async () => noteTasks(await api.tasks()));
  const app = nameField("App", DEFAULT_APP, [...new Set([DEFAULT_APP, ...(listed?.tasks ?? []).map((task) => task.app).filter(Boolean)])]);
  const name = nameField("Task", nameOf(file));
  const hint = h("p", { class: "upload-hint muted", role: "status" });
  const isThere = () => listed?.tasks.some((task) => task.app === app.value && task.task === name.value && task.version !== null);
  const look = () => (hint.textContent = isThere() ? `${app.value}/${name.value} already exists. New runs will use this version; active runs finish on theirs.` : "");
  for (const field of [app, name]) field.input.addEventListener("input", look);
  look();
  let target = "";
  const done = await dialog({
    title: "Add a task",
    body: [h("p", { class: "upload-file" }, h("code", null, file.name), h("span", { class: "muted num" }, bytes(file.size))), app.element, name.element, hint],
    action: "Add",
    busy: "Checking…",
    onsubmit: async (form, signal) => {
      for (const field of [app, name]) field.check();
      target = `${app.value}/${name.value}`;
      const outcome = await api.putTask(app.value, name.value, file, signal).catch((error) => {
        throw error.kind === "invalid-task" ? new Error(`Not a valid task: ${error.message}`) : error;
      });
      notify({ created: `Added ${target}`, replaced: `${target} has a new version`, accepted: `Added ${target}. The host is loading it.` }[outcome]);
    },
  });
  if (done) location.hash = `#/tasks/${target}`;
}

/** Deletes a task's file from the host's tasks folder, after a confirmation. */
export async function removeTask(task) {
  const name = `${task.app}/${task.task}`;
  const removed = await confirm({
    title: `Remove ${name}?`,
    text: [
      h("p", null, "The file ", h("code", null, task.path), " is deleted from the host’s tasks folder. To restore the task, add its file again."),
      h(
        "ul",
        { class: "consequences" },
        h("li", null, "Active runs finish."),
        h("li", null, "Queued runs wait until the task is added again."),
        task.schedules.length > 0 && h("li", null, "Its schedules start no more runs."),
        h("li", null, "Ended runs and their events stay."),
        h("li", null, "The task’s manifest stays in the folder, if it has one."),
      ),
    ],
    action: "Remove the task",
    busy: "Removing…",
    onsubmit: () => api.removeTask(task.app, task.task),
  });
  if (!removed) return;
  notify(`Removed ${name}`);
  location.hash = "#/tasks";
}

/** A task's name made from a file's name. */
function nameOf(file) {
  return file.name.replace(/\.wasm$/i, "").replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, MAX_NAME);
}

function nameField(label, value, known = []) {
  const id = `upload-${label.toLowerCase()}`;
  const input = h("input", { type: "text", id, value, list: known.length > 0 ? `${id}-known` : null, "aria-required": "true", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
  return {
    input,
    element: h("div", { class: "field" }, h("label", { for: id }, label), input, known.length > 0 && h("datalist", { id: `${id}-known` }, known.map((one) => h("option", { value: one })))),
    get value() {
      return input.value.trim();
    },
    check: () => {
      if (NAME.test(input.value.trim())) return;
      input.setAttribute("aria-invalid", "true");
      input.focus();
      throw new Error(`${label}: 1 to ${MAX_NAME} letters, digits, - and _`);
    },
  };
}
