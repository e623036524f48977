// Numbers, lengths and instants, as people read them.

const PLAIN = /^(-?)(\d+)(\.\d+)?$/;
const THIN = "\u202f";
const DIGITS = 7; // that a value is shown with, of which two may always follow the point
const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

// Digits in groups of three, and no more of them than somebody can read; what was sent stands in a title beside it.
export function number(text) {
  const match = PLAIN.exec(String(text));
  if (!match) return String(text);
  const [, sign, whole, part = ""] = match;
  const before = whole === "0" ? -(/^\.(0*)/.exec(part)?.[1].length ?? 0) : whole.length; // digits that count before the point
  const decimals = Math.max(2, DIGITS - before);
  let shown = whole + part;
  if (part.length - 1 > decimals) shown = Number(shown).toFixed(Math.min(decimals, 20)).replace(/\.?0+$/, "");
  const [grouped, rest] = shown.split(".");
  return `${sign}${grouped.length > 4 ? grouped.replace(/\B(?=(\d{3})+$)/g, THIN) : grouped}${rest === undefined ? "" : `.${rest}`}`;
}

// A value with its unit: bytes, which are many, by the thousand.
export function measure(text, unit) {
  const bytes = (unit === "B" || unit === "B/s") && PLAIN.test(String(text));
  const [size, prefix] = (bytes && PREFIXES.find(([one]) => Math.abs(text) >= one)) || [1, ""];
  return size === 1 ? [number(text), unit] : [String(Number((text / size).toPrecision(4))), `${prefix}${unit}`];
}

export function unitOf(stream) {
  return stream.unit?.symbol ?? stream.unit?.label ?? "";
}

export function count(many, word) {
  return `${number(many)} ${word}${many === 1 ? "" : "s"}`;
}

const SIZES = [[86400 * 365, "year"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

export function ago(at) {
  if (!at) return "never";
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 2) return "just now";
  const [size, word] = SIZES.find(([one]) => Math.abs(seconds) >= one);
  if (seconds < 0) return `in ${count(Math.round(-seconds / size), word)}`;
  return `${count(Math.floor(seconds / size), word)} ago`;
}

export function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [size, word] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${Number((seconds / size).toFixed(1))} ${word}`;
  return `${seconds.toFixed(0)} s`;
}

export function instant(at) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

// Such as "Europe/London, UTC+1": the zone in which the page writes every instant.
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const hours = Math.abs(minutes) / 60;
  return `${Intl.DateTimeFormat().resolvedOptions().timeZone}, UTC${minutes < 0 ? "−" : "+"}${Number(hours.toFixed(2))}`;
}

// What a datetime-local input holds for an instant, in the zone of the page.
export function localInput(seconds) {
  const at = new Date(seconds * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
