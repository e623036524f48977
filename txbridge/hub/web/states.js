// Values that are no numbers, as a band of what was when.

import { h } from "./dom.js";
import { instant } from "./words.js";

const COLOURS = 6;
const MOST = 400;

// One stretch for each run of equal values; each lasts until the next begins, the last one until `until`.
function stretches(points, until) {
  const found = [];
  for (const [x, , text] of points) {
    if (found.at(-1)?.text === text) continue;
    if (found.length) found.at(-1).end = x;
    found.push({ text, start: x, end: until });
  }
  return found.slice(-MOST);
}

export function band(points, [start, end]) {
  const colours = new Map();
  const parts = stretches(points, Math.min(end, Date.now() / 1000)).map((one) => {
    if (!colours.has(one.text)) colours.set(one.text, colours.size % COLOURS);
    const part = h("span", { className: `state s${colours.get(one.text)}`, title: `${one.text}, from ${instant(one.start * 1000)}` }, one.text);
    const from = Math.max(one.start, start);
    part.style.left = `${(100 * (from - start)) / (end - start)}%`;
    part.style.width = `${(100 * Math.max(0, one.end - from)) / (end - start)}%`;
    return part;
  });
  const time = (seconds) => h("small", {}, instant(seconds * 1000));
  return [h("div", { className: "states" }, parts), h("div", { className: "row soft" }, time(start), h("span", { className: "end" }, time(end)))];
}
