// The source map in a bundle, with which errors of a task are reported with the author's file and line.

import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decode, encode } from '../src/mappings.js';
import { readable } from '../src/places.js';

/** Frames in this folder are not useful to the author. */
const SDK = fileURLToPath(new URL('../src/', import.meta.url));

/** The name of the module that the build adds, with the exports of the contract. */
export const ENTRY = 'streamtask-entry';

/**
 * The source map of esbuild (for a bundle in `folder`), without the parts that only debuggers need: 2 to 8
 * bytes per line of the bundle remain.
 */
export function linesOf(map, folder, file) {
  const { sources, mappings } = JSON.parse(map);
  const places = new Map();
  const lines = decode(mappings).map((segments) => distinct(segments.map(({ column, source, line }) => {
    if (source === undefined || isOurs(sources[source], folder)) return { column };
    if (!places.has(source)) places.set(source, places.size);
    return { column, source: places.get(source), line };
  })));
  return { file, sources: [...places.keys()].map((source) => shown(sources[source])), mappings: encode(lines) };
}

/** The statement that stores the map where `places.js` reads it. */
export function statementOf(map) {
  return `globalThis[Symbol.for("streamtask.source-map")] = ${JSON.stringify(map)};\n`;
}

function isOurs(source, folder) {
  return source === ENTRY || resolve(folder, source).startsWith(SDK);
}

// Paths in packages begin with the package's folder.
function shown(source) {
  const at = source.lastIndexOf('node_modules/');
  return at < 0 ? source : source.slice(at);
}

// Within a line of the bundle, keeps only segments where the source line changes.
function distinct(segments) {
  return segments.filter(({ source, line }, i) => {
    const before = segments[i - 1];
    return before === undefined ? source !== undefined : source !== before.source || line !== before.line;
  });
}

/** Replaces the places in an error that the engine printed by those in the author's source. */
export function located(text, map) {
  const [, before, message] = /^(.*)Exception while evaluating top-level script\n\S+:\d+:\d+ (.*)$/m.exec(text) ?? [];
  if (message === undefined) return text;
  const stack = text.slice(text.indexOf('Stack:')).split('\n').map((line) => line.trim()).join('\n');
  return `${before}${message}\n${readable(stack, map)}`.trim();
}
