// Numbers, lengths and instants, as people read them.

const LONG = /^(-?)(\d{5,})(\.\d+)?$/;
const THIN = "\u202f";

// Digits in groups of three, with nothing rounded: the hub keeps the text of a number, and so does the page.
export function number(text) {
  const match = LONG.exec(String(text));
  return match ? `${match[1]}${match[2].replace(/\B(?=(\d{3})+$)/g, THIN)}${match[3] ?? ""}` : String(text);
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
