// What a bundle says of where it comes from, so that a task that throws can tell file and line of the author's.

import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decode, encode } from '../src/mappings.js';
import { readable } from '../src/places.js';

/** Frames in here say nothing to the author. */
const SDK = fileURLToPath(new URL('../src/', import.meta.url));

/** The name of the module that the build adds, which exports what the contract wants. */
export const ENTRY = 'streamtask-entry';

/**
 * The map of esbuild (of a bundle in `folder`), without what only a debugger wants: 2 to 8 bytes are left for
 * each line of the bundle.
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

/** The statement that leaves it where `places.js` looks. */
export function statementOf(map) {
  return `globalThis[Symbol.for("streamtask.source-map")] = ${JSON.stringify(map)};\n`;
}

function isOurs(source, folder) {
  return source === ENTRY || resolve(folder, source).startsWith(SDK);
}

// A package is named from its folder on.
function shown(source) {
  const at = source.lastIndexOf('node_modules/');
  return at < 0 ? source : source.slice(at);
}

// Of what stands in one line of the bundle, only where another line of a source begins.
function distinct(segments) {
  return segments.filter(({ source, line }, i) => {
    const before = segments[i - 1];
    return before === undefined ? source !== undefined : source !== before.source || line !== before.line;
  });
}

/** What the engine printed of an error: message and stack, with the places in the author's source. */
export function located(text, map) {
  const [, before, message] = /^(.*)Exception while evaluating top-level script\n\S+:\d+:\d+ (.*)$/m.exec(text) ?? [];
  if (message === undefined) return text;
  const stack = text.slice(text.indexOf('Stack:')).split('\n').map((line) => line.trim()).join('\n');
  return `${before}${message}\n${readable(stack, map)}`.trim();
}
