// Module hooks for Node.js.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { transformSync } from 'esbuild';

const TYPESCRIPT = /\.[cm]?tsx?$/;

/** Resolves like a bundler: `./x.js` can be `./x.ts`, and `./x` either of them. */
function others(specifier) {
  if (!specifier.startsWith('.')) return [];
  const written = specifier.replace(/\.([cm]?)js$/, '.$1ts');
  return written === specifier ? [`${specifier}.ts`, `${specifier}.js`] : [written];
}

function isMissing(error) {
  return error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'ERR_UNSUPPORTED_DIR_IMPORT';
}

/** The JavaScript of a TypeScript file; undefined for other files. */
function translated(url) {
  if (!url.startsWith('file:') || !TYPESCRIPT.test(new URL(url).pathname)) return undefined;
  const path = fileURLToPath(url);
  const { code } = transformSync(readFileSync(path, 'utf8'), {
    loader: path.endsWith('x') ? 'tsx' : 'ts',
    format: 'esm',
    target: 'es2023',
    sourcefile: path,
    sourcemap: 'inline',
  });
  return { format: 'module', source: code, shortCircuit: true };
}

/** For Node.js versions with asynchronous hooks. */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    for (const other of isMissing(error) ? others(specifier) : []) {
      const found = await next(other, context).catch(() => undefined);
      if (found !== undefined) return found;
    }
    throw error;
  }
}

export async function load(url, context, next) {
  return translated(url) ?? next(url, context);
}

/** For Node.js versions with synchronous hooks. */
export const sync = {
  resolve(specifier, context, next) {
    try {
      return next(specifier, context);
    } catch (error) {
      for (const other of isMissing(error) ? others(specifier) : []) {
        try {
          return next(other, context);
        } catch {
          // Try the next candidate; if all fail, throw the first error, which names the original path.
        }
      }
      throw error;
    }
  },
  load: (url, context, next) => translated(url) ?? next(url, context),
};
