// The browser that is installed here.

import { access } from 'node:fs/promises';

const BROWSERS = [process.env.STREAMTASK_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
// Without the network, and without what needs a machine of its own.
const FLAGS = (
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking ' +
  '--disable-component-update --disable-sync'
).split(' ');

/** What is missing if there is none. */
export const CHROMIUM = 'Chromium, whose path is in STREAMTASK_CHROMIUM';

/** The first of these files that is there. */
export async function find(paths) {
  for (const path of paths.filter(Boolean)) {
    if (await access(path).then(() => true, () => false)) return path;
  }
  return undefined;
}

/** Starts it; undefined if there is none. @returns {Promise<import('playwright-core').Browser | undefined>} */
export async function launch() {
  const executablePath = await find(BROWSERS);
  if (!executablePath) return undefined;
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath, args: FLAGS });
}
