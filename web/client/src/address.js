// HTTP requests to a host.

import { HostError } from './errors.js';

/** @import { HostOptions, Query } from '../streamtask.d.ts' */

/** A host's URL, and the headers of every request to it. */
export class Address {
  /** @param {string | URL} [url] @param {HostOptions} [options] */
  constructor(url = ownHost(), options = {}) {
    if (!url || url === 'null') throw new TypeError('outside of a page, the URL of the host is required');
    this.url = new URL(url, globalThis.location?.href);
    this.options = options;
  }

  /** The URL of a path of the host; below the host's own path, if a proxy adds one. @param {string} path @param {Query} [query] */
  at(path, query = {}) {
    const url = new URL(this.url.origin + this.url.pathname.replace(/\/+$/, '') + path);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== undefined) url.searchParams.append(name, String(one));
    }
    return url;
  }

  /** Headers can contain a token, which must not be sent elsewhere. @param {URL} url */
  check(url) {
    if (url.origin !== this.url.origin) throw new TypeError(`${url.origin} is not the host ${this.url.origin}`);
  }

  /** @param {URL} url @param {RequestInit & { headers?: Record<string, string> }} [init] */
  async fetch(url, init = {}) {
    this.check(url);
    const { headers, fetch = globalThis.fetch, credentials } = this.options;
    const own = typeof headers === 'function' ? await headers() : headers;
    return fetch(url, { cache: 'no-store', credentials, ...init, headers: { ...own, ...init.headers } });
  }

  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async open(method, path, { query, body, headers, signal } = {}) {
    const isJson = body !== undefined && !isBytes(body);
    const type = isJson ? { 'content-type': 'application/json' } : undefined;
    const sent = /** @type {BodyInit | undefined} */ (isJson ? JSON.stringify(body) : body);
    const init = { method, body: sent, headers: { accept: 'application/json', ...type, ...headers }, signal };
    const response = await this.fetch(this.at(path, query), init);
    if (!response.ok) throw await HostError.of(response);
    return response;
  }

  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async request(method, path, options) {
    const text = await (await this.open(method, path, options)).text();
    return text ? JSON.parse(text) : undefined;
  }
}

/** @param {unknown} body */
function isBytes(body) {
  return body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
}

/** The host that served this module, or else the server of the page. */
function ownHost() {
  // Some bundlers replace `import.meta.url` by nothing.
  const script = URL.canParse(import.meta.url ?? '') ? new URL(import.meta.url) : undefined;
  const isServed = script && /^https?:$/.test(script.protocol) && script.pathname === '/streamtask.js';
  return isServed ? script.origin : globalThis.location?.origin;
}
