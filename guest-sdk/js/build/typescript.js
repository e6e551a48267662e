// `node --import streamtask-sdk/typescript`: runs TypeScript modules in the same way as the build. Older versions
// of Node.js can't, and newer ones don't support the whole language.

import * as module from 'node:module';

if (module.registerHooks) {
  const { sync } = await import('./typescript-hooks.js');
  module.registerHooks(sync);
} else {
  module.register('./typescript-hooks.js', import.meta.url);
}

// For source lines in stacks.
process.setSourceMapsEnabled(true);
