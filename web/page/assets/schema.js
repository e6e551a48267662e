// Turns a JSON Schema into form fields. A part that a form can't show well becomes a JSON field, so every schema has a form;
// only the host decides whether an input is valid. Independent of the page.

/** Depth of nested fields; deeper parts are JSON fields. With `$ref`, a schema can be infinitely deep. */
const MAX_DEPTH = 4;
/** A string that may be at least this long gets a multi-line field. */
const LONG_TEXT = 200;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/**
 * A schema as a field.
 * @returns {{ kind: "object"|"array"|"string"|"number"|"integer"|"boolean"|"choice"|"json", name: string, title: string,
 *   description?: string, required: boolean, nullable: boolean, fallback: any, [more: string]: any }}
 */
export function fieldOf(schema, { root = schema, name = "", required = true, depth = 0 } = {}) {
  const { schema: own, nullable } = plain(schema, root);
  const field = {
    kind: "json",
    name,
    title: typeof own.title === "string" && depth > 0 ? own.title : name,
    description: typeof own.description === "string" ? own.description : undefined,
    required,
    nullable,
    fallback: own.default ?? own.examples?.[0],
    isExample: own.default === undefined && own.examples?.[0] !== undefined,
  };
  const choices = choicesOf(own);
  if (choices) return { ...field, kind: "choice", choices };
  switch (typeOf(own)) {
    case "object":
      if (depth < MAX_DEPTH && isObject(own.properties)) {
        return { ...field, kind: "object", fields: fieldsOf(own, root, depth) };
      }
      return field;
    case "array":
      if (depth < MAX_DEPTH && isObject(own.items)) {
        const item = fieldOf(own.items, { root, depth: depth + 1 });
        if (["string", "number", "integer", "choice"].includes(item.kind)) return { ...field, kind: "array", item };
      }
      return field;
    case "string":
      return { ...field, kind: "string", ...text(own) };
    case "integer":
    case "number":
      return { ...field, kind: typeOf(own), min: own.minimum, max: own.maximum, step: own.multipleOf };
    case "boolean":
      return { ...field, kind: "boolean" };
    default:
      return field;
  }
}

function fieldsOf(schema, root, depth) {
  const required = Array.isArray(schema.required) ? schema.required : [];
  const fields = Object.entries(schema.properties).map(([name, part]) =>
    fieldOf(isObject(part) ? part : {}, { root, name, required: required.includes(name), depth: depth + 1 }),
  );
  // Required fields first, otherwise in the author's order.
  return fields.sort((a, b) => Number(b.required) - Number(a.required));
}

/** Follows references, and reduces "T or null" to T with `nullable`. */
function plain(schema, root) {
  let own = isObject(schema) ? schema : {};
  let nullable = false;
  for (let steps = 0; steps < 16; steps += 1) {
    if (typeof own.$ref === "string") {
      const { $ref, ...beside } = own;
      own = { ...resolve($ref, root), ...beside };
      continue;
    }
    const either = own.anyOf ?? own.oneOf;
    const some = Array.isArray(either) ? either.filter((part) => part?.type !== "null") : [];
    if (Array.isArray(either) && some.length === 1 && isObject(some[0])) {
      const { anyOf, oneOf, ...beside } = own;
      nullable ||= some.length < either.length;
      own = { ...some[0], ...beside };
      continue;
    }
    if (Array.isArray(own.allOf) && own.allOf.length === 1 && isObject(own.allOf[0])) {
      const { allOf, ...beside } = own;
      own = { ...allOf[0], ...beside };
      continue;
    }
    break;
  }
  if (Array.isArray(own.type)) {
    const types = own.type.filter((type) => type !== "null");
    nullable ||= types.length < own.type.length;
    own = { ...own, type: types.length === 1 ? types[0] : undefined };
  }
  return { schema: own, nullable };
}

/** A reference within the schema, `#/$defs/How`; other references are ignored. */
function resolve(reference, root) {
  if (!reference.startsWith("#")) return {};
  let at = root;
  for (const part of reference.slice(1).split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    at = isObject(at) || Array.isArray(at) ? at[key] : undefined;
  }
  return isObject(at) ? at : {};
}

function typeOf(schema) {
  if (typeof schema.type === "string") return schema.type;
  return isObject(schema.properties) ? "object" : undefined;
}

function choicesOf(schema) {
  if (schema.const !== undefined) return [{ value: schema.const }];
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => ({ value }));
  const either = schema.oneOf ?? schema.anyOf;
  if (Array.isArray(either) && either.length > 0 && either.every((part) => isObject(part) && part.const !== undefined)) {
    return either.map((part) => ({ value: part.const, title: part.title, description: part.description }));
  }
  return null;
}

function text(schema) {
  const types = { email: "email", uri: "url", url: "url", date: "date", password: "password" };
  return {
    type: types[schema.format] ?? "text",
    long: schema.maxLength >= LONG_TEXT || ["textarea", "multi-line"].includes(schema.format) || "contentMediaType" in schema,
    minLength: schema.minLength,
    maxLength: schema.maxLength,
  };
}
