// Checks a value against the subset of JSON Schema that tasks use for their inputs. Unknown keywords
// are ignored: the host checks inputs, too, and supports all of JSON Schema.

import { Failure } from './errors.js';

/**
 * Returns the value with the schema's defaults filled in. Throws a `Failure` with the code
 * `invalid-input` if it does not match.
 */
export function parse(schema, value) {
  const problems = [];
  const parsed = check(schema, value, '', problems);
  if (problems.length === 0) return parsed;
  const { pointer, message } = problems[0];
  const where = pointer === '' ? 'the input' : pointer;
  throw new Failure(`${where} ${message}`, { code: 'invalid-input', details: { errors: problems } });
}

function check(schema, value, pointer, problems) {
  if (schema === true || schema === undefined) return value;
  if (schema === false) return refuse(problems, pointer, 'is not allowed', value);
  if (value === undefined) return schema.default;
  if ('const' in schema && !same(value, schema.const)) {
    return refuse(problems, pointer, `is not ${JSON.stringify(schema.const)}`, value);
  }
  if (schema.enum && !schema.enum.some((one) => same(one, value))) {
    return refuse(problems, pointer, `is none of ${JSON.stringify(schema.enum)}`, value);
  }
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives) return checkAlternatives(alternatives, value, pointer, problems);
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    if (!types.some((type) => isOfType(value, type))) {
      return refuse(problems, pointer, `is ${typeOf(value)}, not ${types.join(' or ')}`, value);
    }
  }
  if (typeof value === 'number') checkNumber(schema, value, pointer, problems);
  if (typeof value === 'string') checkText(schema, value, pointer, problems);
  if (Array.isArray(value)) return checkArray(schema, value, pointer, problems);
  if (value !== null && typeof value === 'object') return checkObject(schema, value, pointer, problems);
  return value;
}

function checkAlternatives(alternatives, value, pointer, problems) {
  for (const alternative of alternatives) {
    const own = [];
    const parsed = check(alternative, value, pointer, own);
    if (own.length === 0) return parsed;
  }
  return refuse(problems, pointer, 'fits none of the alternatives', value);
}

function checkNumber(schema, value, pointer, problems) {
  const bounds = [
    ['minimum', (bound) => value >= bound, 'is less than'],
    ['maximum', (bound) => value <= bound, 'is more than'],
    ['exclusiveMinimum', (bound) => value > bound, 'is not above'],
    ['exclusiveMaximum', (bound) => value < bound, 'is not below'],
  ];
  for (const [key, keeps, words] of bounds) {
    const bound = schema[key];
    if (typeof bound === 'number' && !keeps(bound)) refuse(problems, pointer, `${words} ${bound}`);
  }
}

function checkText(schema, value, pointer, problems) {
  // JSON Schema counts characters, not JavaScript's UTF-16 code units.
  const length = [...value].length;
  if (length < schema.minLength) refuse(problems, pointer, `is shorter than ${schema.minLength}`);
  if (length > schema.maxLength) refuse(problems, pointer, `is longer than ${schema.maxLength}`);
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) {
    refuse(problems, pointer, `does not match ${schema.pattern}`);
  }
}

function checkArray(schema, value, pointer, problems) {
  if (value.length < schema.minItems) refuse(problems, pointer, `has fewer than ${schema.minItems} items`);
  if (value.length > schema.maxItems) refuse(problems, pointer, `has more than ${schema.maxItems} items`);
  if (schema.items === undefined) return value;
  return value.map((item, i) => check(schema.items, item, `${pointer}/${i}`, problems));
}

function checkObject(schema, value, pointer, problems) {
  const parsed = Object.fromEntries(
    Object.entries(value).map(([key, part]) => {
      const own = Object.hasOwn(schema.properties ?? {}, key);
      const of = own ? schema.properties[key] : schema.additionalProperties;
      return [key, check(of, part, `${pointer}/${escaped(key)}`, problems)];
    }),
  );
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key)) refuse(problems, `${pointer}/${escaped(key)}`, 'is missing');
  }
  for (const [key, { default: preset }] of Object.entries(schema.properties ?? {})) {
    if (preset !== undefined && !Object.hasOwn(value, key)) parsed[key] = structuredClone(preset);
  }
  return parsed;
}

function refuse(problems, pointer, message, value) {
  problems.push({ pointer, message });
  return value;
}

function isOfType(value, type) {
  return type === 'integer' ? Number.isInteger(value) : type === 'number' ? typeof value === 'number' : typeOf(value) === type;
}

function typeOf(value) {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function same(one, other) {
  return one === other || canonical(one) === canonical(other);
}

// The order of keys does not matter.
function canonical(value) {
  return JSON.stringify(value, (_, part) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)));
  });
}

// Escapes a key for a JSON Pointer.
function escaped(key) {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
