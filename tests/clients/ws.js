// Follows a run over a WebSocket of `ws`, and prints each message and the close, a line of JSON each.

import WebSocket from 'ws';

const print = (line) => process.stdout.write(`${line}\n`);
const socket = new WebSocket(process.argv[2]);
socket.on('message', (message) => print(String(message)));
socket.on('close', (code, reason) => print(JSON.stringify({ close: code, reason: String(reason) })));
socket.on('error', (error) => print(JSON.stringify({ error: error.message })));
