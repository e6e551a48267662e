// What Node.js asks when it loads a module.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { transformSync } from 'esbuild';

const TYPESCRIPT = /\.[cm]?tsx?$/;

/** As a bundler does: `./x.js` may be a `./x.ts`, and `./x` either. */
function others(specifier) {
  if (!specifier.startsWith('.')) return [];
  const written = specifier.replace(/\.([cm]?)js$/, '.$1ts');
  return written === specifier ? [`${specifier}.ts`, `${specifier}.js`] : [written];
}

function isMissing(error) {
  return error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'ERR_UNSUPPORTED_DIR_IMPORT';
}

/** JavaScript of a file in TypeScript; undefined for any other. */
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

/** For versions that ask on another thread. */
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

/** For those that ask at once. */
export const sync = {
  resolve(specifier, context, next) {
    try {
      return next(specifier, context);
    } catch (error) {
      for (const other of isMissing(error) ? others(specifier) : []) {
        try {
          return next(other, context);
        } catch {
          // Then perhaps the next one; else the first error says what was asked for.
        }
      }
      throw error;
    }
  },
  load: (url, context, next) => translated(url) ?? next(url, context),
};
