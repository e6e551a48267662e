// Serves the page like the host, and forwards all other requests to a host, so that changes show on reload.
//
//   node web/page/dev.mjs [--port 8081] [--host http://127.0.0.1:8080]

import { createReadStream, existsSync } from "node:fs";
import http from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ASSETS = fileURLToPath(new URL("assets/", import.meta.url));
const CLIENT = fileURLToPath(new URL("../client/streamtask.js", import.meta.url));
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };

/** The Content-Security-Policy that the host sends with the page. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The file of a path; undefined for paths of the host. */
function fileOf(path) {
  if (path === "/") return join(ASSETS, "index.html");
  if (path === "/streamtask.js") return CLIENT;
  const name = /^\/page\/([\w-]+\.(?:js|css|svg))$/.exec(path)?.[1];
  return name ? join(ASSETS, name) : undefined;
}

/**
 * Begins to serve.
 * @param {{ port?: number, host: string | (() => string), answer?: (request: http.IncomingMessage, response: http.ServerResponse) => boolean }} options
 *   the host's address, also one that changes; `answer` may answer in place of the host, and says whether it did
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export function serve({ port = 0, host, answer }) {
  const server = http.createServer((request, response) => {
    const file = fileOf(new URL(request.url, "http://page").pathname);
    if (file && existsSync(file)) {
      response.writeHead(200, {
        "content-type": `${TYPES[extname(file)]}; charset=utf-8`,
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
      });
      createReadStream(file).pipe(response);
    } else if (!answer?.(request, response)) pass(request, response, typeof host === "function" ? host() : host);
  });
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => {
      const close = () =>
        new Promise((closed) => {
          server.close(() => closed());
          server.closeAllConnections();
        });
      resolve({ url: `http://127.0.0.1:${server.address().port}`, close });
    });
  });
}

function pass(request, response, host) {
  const { hostname, port } = new URL(host);
  const onward = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.on("error", () => response.destroy());
    answer.pipe(response);
  });
  onward.on("error", () => {
    if (response.headersSent) return response.destroy();
    response.writeHead(502, { "content-type": "text/plain" }).end("the host is not responding\n");
  });
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: "string", default: "8081" }, host: { type: "string", default: "http://127.0.0.1:8080" } } });
  const { url } = await serve({ port: Number(values.port), host: values.host });
  console.log(`the page is at ${url}, the host at ${values.host}`);
}
