// Adding tasks: a .wasm that is dropped onto the page, or chosen with a button; and removing them. Only where the host takes
// uploads.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { bytes } from "./format.js";
import { attempt, confirm, dialog, notify } from "./notices.js";

/** What the host takes for the name of an app or a task. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_NAME = 64;
/** The app of tasks that are in none. */
const DEFAULT_APP = "default";

/** What the host said last of its tasks; null if it was not asked yet. */
let listed = null;

/** The host's list is this now. */
export function noteTasks(list) {
  listed = list;
}

/** A button that asks for files; hidden until the host is known to take them. */
export function addTaskButton() {
  const input = h("input", {
    type: "file", accept: ".wasm,application/wasm", multiple: true, hidden: true, tabindex: "-1", "aria-label": "Files of tasks",
    on: {
      change: () => {
        const files = [...input.files];
        // The same file may be chosen again.
        input.value = "";
        addTasks(files);
      },
    },
  });
  const add = button("Add a task", { icon: "plus" }, () => input.click());
  const element = h("span", { class: "add-task", hidden: true }, input, add);
  return { element, update: (list) => (element.hidden = list.uploads !== true) };
}

/** Lets files be dropped onto the page. */
export function takeDrops() {
  const sign = h("div", { class: "drop", hidden: true, "aria-hidden": "true" }, h("p", null, "Drop a ", h("code", null, ".wasm"), " to add it as a task"));
  document.body.append(sign);
  /** Elements that the pointer is in: leaving one for another within it comes after entering that. */
  let inside = 0;
  const isOver = (event) => listed?.uploads === true && event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]");
  const leave = () => {
    inside = 0;
    sign.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    inside += 1;
    // A run's page does not look at the tasks by itself.
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

/** Asks for the names of these files, one after the other, and adds them. */
async function addTasks(files) {
  for (const file of files) {
    if (!/\.wasm$/i.test(file.name)) notify(`${file.name} is not a .wasm file`, { kind: "error" });
    else await addTask(file);
  }
}

async function addTask(file) {
  await attempt("The host’s tasks can’t be read", async () => noteTasks(await api.tasks()));
  const app = nameField("App", DEFAULT_APP, [...new Set([DEFAULT_APP, ...(listed?.tasks ?? []).map((task) => task.app).filter(Boolean)])]);
  const name = nameField("Task", nameOf(file));
  const hint = h("p", { class: "upload-hint muted", role: "status" });
  const isThere = () => listed?.tasks.some((task) => task.app === app.value && task.task === name.value && task.version !== null);
  const look = () => (hint.textContent = isThere() ? `${app.value}/${name.value} is there. New runs will take this version; runs under way finish on theirs.` : "");
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
        throw error.kind === "invalid-task" ? new Error(`This file is no task: ${error.message}`) : error;
      });
      notify({ created: `Added ${target}`, replaced: `${target} has a new version`, accepted: `${target} is in the host’s folder, and is being loaded` }[outcome]);
    },
  });
  if (done) location.hash = `#/tasks/${target}`;
}

/** Asks, then takes a task's file out of the host's folder. */
export async function removeTask(task) {
  const name = `${task.app}/${task.task}`;
  const removed = await confirm({
    title: `Remove ${name}?`,
    text: [
      h("p", null, "The file ", h("code", null, task.path), " is deleted from the host’s tasks folder. To have the task back, its file must be added again."),
      h(
        "ul",
        { class: "consequences" },
        h("li", null, "Runs under way finish."),
        h("li", null, "Queued runs wait until the task comes back."),
        task.schedules.length > 0 && h("li", null, "Nothing starts by its schedules."),
        h("li", null, "Runs that have ended stay, with all that they said."),
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

/** A task's name out of that of a file. */
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
