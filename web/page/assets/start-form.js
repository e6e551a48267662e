// The form that starts a run: fields made from the task's schema, or JSON, and the options of a start.

import * as api from "./api.js";
import { button, fill, h, icon, uniqueId } from "./dom.js";
import { Incomplete, Unreadable, WrongFields, control } from "./fields.js";
import { copy } from "./notices.js";
import { fieldOf } from "./schema.js";

/** Keys of labels that only the host sets. */
const HOST_LABELS = ["retry-of", "schedule"];

/**
 * @param {any} task as the host lists it
 * @param {{ input?: any, labels?: Record<string, string>, started: (id: string) => void }} options `input` fills the form
 */
export function startForm(task, { input, labels, started }) {
  const form = new StartForm(task, started);
  form.fill(input, labels);
  return form.element;
}

class StartForm {
  constructor(task, started) {
    this.task = task;
    const field = fieldOf(task.input_schema ?? {});
    /** null for a task without a schema or with one that is not an object: its input is JSON only. */
    this.fields = field.kind === "object" && field.fields.length > 0 ? control(field) : null;
    this.json = h("textarea", { class: "code", rows: 10, spellcheck: "false", "aria-label": "Input as JSON" });
    this.mode = this.fields ? "form" : "json";
    this.place = h("div", { class: "start-input" });
    this.problem = h("div", { class: "problem", role: "alert", hidden: true });
    this.more = moreOptions();
    this.submitText = h("span", null, "Start");
    this.submit = h("button", { type: "submit", class: "primary" }, icon("play"), this.submitText);
    this.element = h(
      "form",
      { class: "start", novalidate: true, "aria-label": `Start ${task.app}/${task.task}`, on: { submit: (event) => this.#submit(event, started) } },
      this.#head(),
      this.place,
      this.more.element,
      this.problem,
      h("div", { class: "actions" }, this.submit, button("Copy as curl", { icon: "copy", class: "quiet" }, () => this.#copyCurl())),
    );
    // Plain Enter inserts a new line in the multi-line fields.
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.element.requestSubmit();
    });
    this.#show();
  }

  #head() {
    const name = uniqueId("mode");
    const choice = (mode, text) =>
      h(
        "label",
        null,
        h("input", { type: "radio", name, value: mode, checked: this.mode === mode, on: { change: (event) => this.#change(mode, event.target) } }),
        h("span", null, text),
      );
    const choices = this.fields && h("div", { class: "segmented", role: "radiogroup", "aria-label": "Input format" }, choice("form", "Form"), choice("json", "JSON"));
    return h("div", { class: "start-head" }, h("h2", null, "Start a run"), choices);
  }

  fill(input, labels) {
    const given = input ?? defaults(this.task.input_schema);
    if (given !== undefined) this.fields?.set(given);
    this.json.value = JSON.stringify(given ?? this.#formValue() ?? {}, null, 2);
    if (labels) this.more.setLabels(labels);
  }

  #formValue() {
    try {
      return this.fields?.get();
    } catch {
      return undefined;
    }
  }

  #change(mode, radio) {
    try {
      const value = this.#value();
      if (mode === "json") this.json.value = JSON.stringify(value, null, 2);
      else this.fields.set(value);
      this.mode = mode;
      this.#clear();
      this.#show();
    } catch (error) {
      this.#fail(error);
      const name = radio.name;
      for (const other of this.element.querySelectorAll(`input[name="${name}"]`)) other.checked = other.value === this.mode;
    }
  }

  #show() {
    fill(this.place, this.mode === "form" ? this.fields.element : this.json);
  }

  /** The input that the form currently holds. */
  #value() {
    if (this.mode === "form") return this.fields.get();
    if (this.json.value.trim() === "") return {};
    try {
      return JSON.parse(this.json.value);
    } catch (error) {
      throw new Unreadable("", `Not valid JSON: ${error.message}`);
    }
  }

  #clear() {
    this.problem.hidden = true;
    this.fields?.clear();
    this.json.removeAttribute("aria-invalid");
  }

  async #submit(event, started) {
    event.preventDefault();
    // The keyboard can submit the form even while the button is disabled.
    if (this.submit.disabled) return;
    this.#clear();
    this.submit.disabled = true;
    // Without a response the client retries, which can take a while.
    this.submitText.textContent = "Starting…";
    try {
      const value = this.#value();
      if (this.mode === "form") this.#requireAll();
      started(await api.start(this.task.app, this.task.task, value, this.more.options()));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.submit.disabled = false;
      this.submitText.textContent = "Start";
    }
  }

  /** Reports each missing value at its own field; the host would report it at the enclosing object. */
  #requireAll() {
    const missing = this.fields.missing();
    if (missing.length > 0) throw new Incomplete(missing);
  }

  #fail(error) {
    const errors = error.problem?.errors?.map(({ pointer, detail }) => [pointer.replace(/^#/, ""), detail]);
    const places = errors ?? (error instanceof WrongFields ? error.places : []);
    const homeless = places.filter(([pointer, detail]) => !(this.mode === "form" && this.fields.mark(pointer, detail)));
    const said = homeless.map(([pointer, detail]) => h("li", null, pointer && h("code", null, pointer), pointer && " ", detail));
    if (this.mode === "json") this.json.setAttribute("aria-invalid", "true");
    fill(this.problem, h("p", null, places.length > 0 ? "The input is not valid:" : error.message), said.length > 0 && h("ul", null, said));
    this.problem.hidden = places.length > 0 && said.length === 0;
    const wrong = this.element.querySelector('[aria-invalid="true"]');
    wrong?.focus();
  }

  #copyCurl() {
    let body = "{}";
    try {
      body = JSON.stringify(this.#value());
    } catch (error) {
      this.#fail(error);
      return;
    }
    const quoted = body.replaceAll("'", `'\\''`);
    copy(`curl -d '${quoted}' '${api.address(`/api/tasks/${this.task.app}/${this.task.task}/runs`)}'`, "command");
  }
}

/** The schema's own default or example of a whole input, if it has one. */
function defaults(schema) {
  return schema?.default ?? schema?.examples?.[0];
}

/** The options of a start besides the input, collapsed at first. */
function moreOptions() {
  const input = (name, text, props) => {
    const id = uniqueId("option");
    return h("div", { class: "field" }, h("label", { for: id }, text), h("input", { id, name, type: "text", autocomplete: "off", spellcheck: "false", ...props }));
  };
  const fields = [
    input("id", "Run ID", { placeholder: "generated by the host", pattern: "[A-Za-z0-9_-]{1,64}" }),
    input("labels", "Labels", { placeholder: "key:value, key:value" }),
    input("delay", "Start after", { placeholder: "10m" }),
    input("priority", "Priority", { inputmode: "numeric", placeholder: "0, from -100 to 100" }),
    input("resources", "Exclusive resources", { placeholder: "printer, gpu-0" }),
  ];
  const choice = (name, text, choices) => {
    const id = uniqueId("option");
    return h("div", { class: "field" }, h("label", { for: id }, text), h("select", { id, name }, Object.entries(choices).map(([value, said]) => h("option", { value }, said))));
  };
  fields.push(
    choice("if_busy", "If a resource is in use", { "": "task default", wait: "wait", fail: "reject the start" }),
    choice("on_disconnect", "When the last viewer leaves", { "": "keep running", cancel: "cancel after 10 s" }),
  );
  const element = h("details", { class: "more" }, h("summary", null, "More options"), h("div", { class: "fields fields-wide" }, fields));
  const value = (name) => element.querySelector(`[name="${name}"]`).value.trim();
  // A label's value may contain a comma; the text after it is another label only if it has a key.
  const list = (text, rule = ",") => text.split(rule).map((part) => part.trim()).filter(Boolean);
  return {
    element,
    setLabels: (labels) => {
      const own = Object.entries(labels).filter(([key]) => !HOST_LABELS.includes(key));
      const text = own.map(([key, label]) => `${key}:${label}`).join(", ");
      element.querySelector('[name="labels"]').value = text;
      element.open = text !== "";
    },
    options: () => ({
      id: value("id") || undefined,
      labels: Object.fromEntries(list(value("labels"), /,(?=[^,:]+:)/).map(parseLabel)),
      delay: value("delay") || undefined,
      priority: value("priority") || undefined,
      resources: list(value("resources")),
      ifBusy: value("if_busy") || undefined,
      onDisconnect: value("on_disconnect") || undefined,
    }),
  };
}

function parseLabel(text) {
  const at = text.indexOf(":");
  if (at < 1) throw new Error(`The label “${text}” must have the form key:value`);
  return [text.slice(0, at), text.slice(at + 1)];
}
