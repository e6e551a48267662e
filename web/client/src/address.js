// Requests to one host.

import { HostError } from './errors.js';

/** @import { HostOptions, Query } from '../streamtask.d.ts' */

/** Where a host is, and what goes with every request to it. */
export class Address {
  /** @param {string | URL} [url] @param {HostOptions} [options] */
  constructor(url = ownHost(), options = {}) {
    if (!url || url === 'null') throw new TypeError('outside of a page the address of the host is needed');
    this.url = new URL(url, globalThis.location?.href);
    this.options = options;
  }

  /** Where a path of the host is; below the host's own, if a proxy has it under one. @param {string} path @param {Query} [query] */
  at(path, query = {}) {
    const url = new URL(this.url.origin + this.url.pathname.replace(/\/+$/, '') + path);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== undefined) url.searchParams.append(name, String(one));
    }
    return url;
  }

  /** Headers may hold a token, which is nobody else's business. @param {URL} url */
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

/** The host that served this module, or else whoever served the page. */
function ownHost() {
  // Some bundlers leave nothing there.
  const script = URL.canParse(import.meta.url ?? '') ? new URL(import.meta.url) : undefined;
  const isServed = script && /^https?:$/.test(script.protocol) && script.pathname === '/streamtask.js';
  return isServed ? script.origin : globalThis.location?.origin;
}
