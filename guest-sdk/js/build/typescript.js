// `node --import streamtask-sdk/typescript`: runs modules in TypeScript, as the build reads them. Older versions
// of Node.js can't, newer ones don't know all of the language.

import * as module from 'node:module';

if (module.registerHooks) {
  const { sync } = await import('./typescript-hooks.js');
  module.registerHooks(sync);
} else {
  module.register('./typescript-hooks.js', import.meta.url);
}

// Stacks then name the lines of the source.
process.setSourceMapsEnabled(true);
