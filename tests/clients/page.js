// Runs a script as a page would that lies at ORIGIN, and prints what it writes to the console, a line of JSON each.
//
// node page.js ORIGIN SCRIPT GLOBALS, where GLOBALS is a JSON object of what the page has besides.

import { EventSource } from 'eventsource';
import { readFile } from 'node:fs/promises';

const [origin, script, globals] = process.argv.slice(2);
const print = (...values) => process.stdout.write(`${JSON.stringify(values)}\n`);

class PageEventSource extends EventSource {
  constructor(url, options) {
    super(new URL(url, origin), options);
  }
}

const page = { EventSource: PageEventSource, console: { log: print, error: print }, ...JSON.parse(globals) };
new Function(...Object.keys(page), await readFile(script, 'utf8'))(...Object.values(page));
