// The history of a datastream: at which distance of points to ask for it, and where points are missing.

import { get } from "./api.js";

// The distance of points and the widest window that the API gives at it, in seconds.
const INTERVALS = [
  [0, 6 * 3600], [30, 12 * 3600], [60, 86400], [300, 5 * 86400], [900, 14 * 86400], [3600, 31 * 86400],
  [10800, 90 * 86400], [21600, 180 * 86400], [86400, 366 * 86400],
];
export const LONGEST = INTERVALS.at(-1)[1];
const MOST_POINTS = 1000;
const GREATEST = 1e300;
export const GAP = 3.5; // times the usual distance

function intervalsFor(seconds) {
  const fit = INTERVALS.filter(([interval, widest]) => seconds <= widest && (!interval || seconds / interval < MOST_POINTS - 1));
  return fit.length ? fit : [INTERVALS.at(-1)];
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();

// The hub answers with whole intervals only: the one that is not over yet belongs to a window that ends with it.
function windowOf(start, end, interval) {
  const whole = interval ? Math.ceil(end / interval) * interval : end;
  const [, widest] = INTERVALS.find(([one]) => one === interval);
  return { start: iso(Math.max(start, whole - widest)), end: iso(whole), interval, limit: MOST_POINTS };
}

const read = (document) => (document.datapoints ?? []).map((point) => [Date.parse(point.at) / 1000, Number(point.value), point.value]);

// {points: [[seconds, number, text]], before, interval}; `before` is the last point before the window, if that is known.
// More points than one answer holds are thinned out, so that the
// window is always shown whole.
export async function readHistory(path, start, end) {
  for (const [interval] of intervalsFor(end - start)) {
    const window = windowOf(start, end, interval);
    const points = read(await get(path, { ...window, find_previous: true }));
    const before = points[0]?.[0] < Date.parse(window.start) / 1000 ? points.shift() : null;
    if (points.length < MOST_POINTS - 1 || interval) return { points, before, interval };
  }
  return { points: [], before: null, interval: 0 };
}

// What the thinned out points leave out: the least and the greatest number of each interval.
export async function readExtremes(path, start, end, interval) {
  const ask = (name) => get(path, { ...windowOf(start, end, interval), function: name }).then(read);
  const [least, greatest] = await Promise.all([ask("min"), ask("max")]);
  return [least, greatest].map((points) => [points.map(([x]) => x - interval / 2), points.map(([, y]) => drawable(y))]); // their instant is the interval's end
}

// Between two of the greatest numbers there are is more than a number holds.
export const drawable = (y) => Math.max(-GREATEST, Math.min(GREATEST, y));

export function usualStep(xs, interval) {
  const steps = xs.slice(1).map((x, index) => x - xs[index]).sort((a, b) => a - b);
  return Math.max(interval, steps[Math.floor(steps.length / 2)] ?? 0);
}

// Columns with a null wherever more time passed than belongs between two points.
export function withGaps([xs, ys], interval) {
  const usual = usualStep(xs, interval);
  const shown = [[], []];
  xs.forEach((x, index) => {
    if (index && usual && x - xs[index - 1] > GAP * usual) {
      shown[0].push((x + xs[index - 1]) / 2);
      shown[1].push(null);
    }
    shown[0].push(x);
    shown[1].push(ys[index]);
  });
  return shown;
}
