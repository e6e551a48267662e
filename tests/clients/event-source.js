// Follows a stream with an EventSource, and prints what reaches its listeners, a line
// of JSON each. Ends when the EventSource does.
//
// node event-source.js URL TYPES, where TYPES is a JSON array of event types.

import { EventSource } from 'eventsource';

const [url, types] = process.argv.slice(2);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const source = new EventSource(url);

const heard = (listener) => (event) => {
  // The EventSource's own `open` and `error` carry no data; a task's events of these types do.
  if ('data' in event) {
    print({ listener, type: event.type, data: event.data, id: event.lastEventId });
  }
};

source.onmessage = heard('onmessage');
for (const type of JSON.parse(types)) {
  source.addEventListener(type, heard('named'));
}
source.onopen = () => print({ listener: 'onopen' });
source.onerror = ({ code, message }) => print({ listener: 'onerror', code, message, state: source.readyState });
