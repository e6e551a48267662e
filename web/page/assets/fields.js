// The controls of a form, one for each field of a schema (schema.js). Each can be read, filled and marked as invalid.

import { button, fill, h, uniqueId } from "./dom.js";

/** The input is invalid; `places` has a pointer and a message for each invalid field. */
export class WrongFields extends Error {
  constructor(places) {
    super(places[0][1]);
    this.places = places;
  }
}

/** A field's text can't be parsed. */
export class Unreadable extends WrongFields {
  constructor(pointer, message) {
    super([[pointer, message]]);
  }
}

/** Required fields are empty. */
export class Incomplete extends WrongFields {
  constructor(pointers) {
    super(pointers.map((pointer) => [pointer, "This field is required"]));
  }
}

/**
 * @typedef {{ element: HTMLElement, get: () => any, set: (value: any) => void, missing: () => string[],
 *   mark: (pointer: string, message: string) => boolean, clear: () => void }} Control `get` returns undefined for an omitted value;
 *   `missing` returns the pointers of empty required fields; `mark` shows a message at a pointer and returns whether the
 *   control has it
 */

/** A field's control. `pointer` is the JSON Pointer of the field in the input. @returns {Control} */
export function control(field, pointer = "") {
  if (field.kind === "object") return objectControl(field, pointer);
  if (field.kind === "array") return arrayControl(field, pointer);
  if (field.kind === "boolean" && !field.nullable) return checkControl(field, pointer);
  return plainControl(field, pointer);
}

const escapePointer = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

function objectControl(field, pointer) {
  const parts = field.fields.map((part) => ({ name: part.name, control: control(part, `${pointer}/${escapePointer(part.name)}`) }));
  const known = new Set(parts.map((part) => part.name));
  // Members that the schema does not name are kept unchanged.
  let others = {};
  const body = parts.map((part) => part.control.element);
  const isRoot = pointer === "";
  const problem = h("p", { class: "field-problem", hidden: true });
  const element = isRoot
    ? h("div", { class: "fields" }, body, problem)
    : h("fieldset", { class: "field fields" }, h("legend", null, label(field), requiredMark(field)), describe(field), body, problem);
  const get = () => {
    const value = { ...others };
    for (const part of parts) {
      const own = part.control.get();
      if (own !== undefined) value[part.name] = own;
    }
    return Object.keys(value).length === 0 && !isRoot && !field.required ? undefined : value;
  };
  return {
    element,
    get,
    // An omitted object has no missing members.
    missing: () => (get() === undefined ? [] : parts.flatMap((part) => part.control.missing())),
    set: (value) => {
      const given = value !== null && typeof value === "object" ? value : {};
      others = Object.fromEntries(Object.entries(given).filter(([name]) => !known.has(name)));
      for (const part of parts) part.control.set(given[part.name]);
    },
    mark: (at, message) => parts.some((part) => part.control.mark(at, message)) || (at === pointer && show(problem, message)),
    clear: () => {
      problem.hidden = true;
      for (const part of parts) part.control.clear();
    },
  };
}

function arrayControl(field, pointer) {
  const list = h("div", { class: "field-items" });
  const problem = h("p", { class: "field-problem", hidden: true });
  const items = [];
  const add = (value) => {
    const item = control({ ...field.item, name: `${label(field)} ${items.length + 1}`, title: "", required: true }, `${pointer}/${items.length}`);
    item.set(value);
    const row = h("div", { class: "field-item" }, item.element);
    row.append(
      button("", { icon: "close", class: "quiet icon-only", label: "Remove" }, () => {
        const rest = items.filter((one) => one !== item).map((one) => one.get());
        set(rest);
      }),
    );
    items.push(item);
    list.append(row);
    return item;
  };
  const set = (value) => {
    items.length = 0;
    fill(list);
    for (const one of Array.isArray(value) ? value : []) add(one);
  };
  const more = button("Add", { icon: "plus", class: "quiet" }, () => add(undefined).element.querySelector("input, select, textarea")?.focus());
  const element = h("fieldset", { class: "field" }, h("legend", null, label(field), requiredMark(field)), describe(field), list, more, problem);
  set((field.isExample ? undefined : field.fallback) ?? (field.required ? [undefined] : []));
  return {
    element,
    get: () => {
      // Empty rows are ignored.
      const values = items.map((item) => item.get()).filter((value) => value !== undefined);
      return values.length === 0 && !field.required && !Array.isArray(field.fallback) ? undefined : values;
    },
    // An empty list is valid, and empty rows are ignored.
    missing: () => [],
    set,
    mark: (at, message) => items.some((item) => item.mark(at, message)) || (at === pointer && show(problem, message)),
    clear: () => {
      problem.hidden = true;
      for (const item of items) item.clear();
    },
  };
}

function checkControl(field, pointer) {
  const input = h("input", { type: "checkbox", checked: field.fallback === true });
  const problem = h("p", { class: "field-problem", hidden: true });
  return {
    element: h("div", { class: "field" }, h("label", { class: "check" }, input, h("span", null, label(field))), describe(field), problem),
    // Without a user's choice or a default, the value is omitted.
    get: () => (input.checked || field.required || field.fallback !== undefined ? input.checked : undefined),
    set: (value) => {
      input.checked = (value ?? field.fallback) === true;
    },
    missing: () => [],
    mark: (at, message) => at === pointer && show(problem, message, input),
    clear: () => hide(problem, input),
  };
}

function plainControl(field, pointer) {
  const id = uniqueId("field");
  const input = inputFor(field, id);
  const problem = h("p", { class: "field-problem", id: `${id}-problem`, hidden: true });
  const described = describe(field, `${id}-description`);
  input.setAttribute("aria-describedby", `${described ? `${id}-description ` : ""}${id}-problem`);
  const name = field.title || field.name;
  // An empty text means no value, unless it came from the schema's default or from an earlier run's input.
  let isGiven = false;
  const get = () => (isGiven && input.value === "" ? "" : read(field, input, pointer));
  const result = {
    element: h("div", { class: "field" }, h("label", { for: id }, name, requiredMark(field)), input, described, problem),
    get,
    set: (value) => {
      isGiven = field.kind === "string" && value === "";
      write(field, input, value);
    },
    missing: () => (field.required && get() === undefined ? [pointer] : []),
    mark: (at, message) => (at === pointer || at.startsWith(`${pointer}/`)) && show(problem, message, input),
    clear: () => hide(problem, input),
  };
  input.addEventListener("input", () => (isGiven = false));
  result.set(field.isExample && !field.required ? undefined : field.fallback);
  return result;
}

function inputFor(field, id) {
  const rule = { id, "aria-required": field.required ? "true" : null, autocomplete: "off", spellcheck: "false" };
  const example = field.isExample ? String(JSON.stringify(field.fallback)).replace(/^"|"$/g, "") : null;
  switch (field.kind) {
    case "choice":
    case "boolean":
      return h(
        "select",
        rule,
        (!field.required || field.fallback === undefined) && h("option", { value: "" }, field.required ? "Choose…" : "–"),
        choices(field).map((choice, at) => h("option", { value: String(at), title: choice.description }, choiceText(choice))),
      );
    case "integer":
    case "number":
      return h("input", { ...rule, type: "text", inputmode: field.kind === "integer" ? "numeric" : "decimal", placeholder: example });
    case "string":
      if (field.long) return h("textarea", { ...rule, rows: 4, placeholder: example });
      return h("input", { ...rule, type: field.type, placeholder: example, maxlength: field.maxLength });
    default:
      return h("textarea", { ...rule, rows: 3, class: "code", placeholder: "JSON" });
  }
}

const choices = (field) => (field.kind === "boolean" ? [{ value: true }, { value: false }] : field.choices);
const valueText = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const choiceText = (choice) =>
  `${choice.title ?? valueText(choice.value)}${choice.description ? ` – ${choice.description}` : ""}`;

function range({ min, max }) {
  if (min !== undefined && max !== undefined) return `${min} to ${max}`;
  // "at least 0" is not worth showing.
  if (min !== undefined) return min === 0 ? null : `at least ${min}`;
  return max === undefined ? null : `at most ${max}`;
}

function read(field, input, pointer) {
  const text = input.value;
  const absent = field.required && field.nullable ? null : undefined;
  switch (field.kind) {
    case "choice":
    case "boolean":
      return text === "" ? absent : choices(field)[Number(text)].value;
    case "integer":
    case "number": {
      if (text.trim() === "") return absent;
      const number = Number(text);
      if (!Number.isFinite(number)) throw new Unreadable(pointer, `“${text}” is not a number`);
      return number;
    }
    case "string":
      // An empty field can't show whether it means an empty text or no value; an empty text can be given as JSON.
      return text === "" ? absent : text;
    default:
      if (text.trim() === "") return absent;
      try {
        return JSON.parse(text);
      } catch (error) {
        throw new Unreadable(pointer, `Not valid JSON: ${error.message}`);
      }
  }
}

function write(field, input, value) {
  if (field.kind === "choice" || field.kind === "boolean") {
    const wanted = JSON.stringify(value);
    const place = choices(field).findIndex((choice) => JSON.stringify(choice.value) === wanted);
    input.value = place < 0 ? "" : String(place);
  } else if (value === undefined || value === null) {
    input.value = "";
  } else if (field.kind === "json") {
    input.value = JSON.stringify(value, null, 2);
    input.rows = Math.min(14, Math.max(3, input.value.split("\n").length));
  } else {
    input.value = valueText(value);
  }
}

const label = (field) => field.title || field.name;

function requiredMark(field) {
  return field.required && field.name && h("span", { class: "required", title: "required" }, " *");
}

function describe(field, id) {
  const bounds = field.kind === "integer" || field.kind === "number" ? range(field) : null;
  if (!field.description && !bounds) return null;
  const text = [field.description, bounds].filter(Boolean).join(" · ");
  return h("p", { class: "field-description", id }, text);
}

function show(problem, message, input) {
  problem.textContent = message;
  problem.hidden = false;
  input?.setAttribute("aria-invalid", "true");
  return true;
}

function hide(problem, input) {
  problem.hidden = true;
  input?.removeAttribute("aria-invalid");
}
