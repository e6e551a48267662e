// Formats values for people.

const two = (number) => String(number).padStart(2, "0");

/** `14:03:07.512`, in the reader's time zone. */
export function clock(timestamp) {
  const time = new Date(timestamp);
  if (Number.isNaN(time.getTime())) return "";
  const millis = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${millis}`;
}

/** The date and the time to the second. */
export function moment(timestamp) {
  const time = new Date(timestamp);
  if (Number.isNaN(time.getTime())) return "";
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** `just now`, `5 min ago`, `in 2 h`. */
export function ago(timestamp, now = Date.now()) {
  const seconds = Math.round((now - Date.parse(timestamp)) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (Math.abs(seconds) < 5) return "just now";
  const span = coarse(Math.abs(seconds));
  return seconds < 0 ? `in ${span}` : `${span} ago`;
}

function coarse(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** How long something took, in the two largest units. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "";
  if (ms < 0) return "0 s";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** The time since a run's start, or between its start and its end; empty before its start. */
export function runTime(run, now = Date.now()) {
  if (!run.started_at) return "";
  return duration((run.finished_at ? Date.parse(run.finished_at) : now) - Date.parse(run.started_at));
}

/** `12.3 KiB`. */
export function bytes(size) {
  if (size < 1024) return `${size} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = size / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The number of bytes that a Base64 text decodes to. */
export function base64Size(text) {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Math.floor((text.length * 3) / 4) - padding;
}

const grouped = new Intl.NumberFormat("en");
/** `100,000`. */
export const count = (number) => grouped.format(number);

/** The beginning of a version's hash, which is enough to tell versions apart. */
export const shortVersion = (version) => (version ? version.slice(0, 10) : "none");

/** A run's ID; one that the host generated is shortened: UUIDv7s differ at their ends. */
export function shortId(id) {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id) ? `${id.slice(0, 8)}…${id.slice(-6)}` : id;
}
