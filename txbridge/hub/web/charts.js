// A chart of one datastream: its history at the distance of points the span needs, and what comes live.

import { get } from "./api.js";
import { h, toast } from "./dom.js";

// The distance of points and the widest window that the API gives at it, in seconds.
const INTERVALS = [
  [0, 6 * 3600], [30, 12 * 3600], [60, 86400], [300, 5 * 86400], [900, 14 * 86400], [3600, 31 * 86400],
  [10800, 90 * 86400], [21600, 180 * 86400], [86400, 366 * 86400],
];
const MOST_POINTS = 1000;
const KEPT_POINTS = 5000;

function intervalFor(seconds) {
  return INTERVALS.find(([interval, widest]) => seconds <= widest && (!interval || seconds / interval <= MOST_POINTS)) ?? INTERVALS.at(-1);
}

// Points with a null wherever more time passed than belongs between two of them.
export function withGaps(points, interval) {
  const steps = points.slice(1).map((point, index) => point[0] - points[index][0]).sort((a, b) => a - b);
  const usual = Math.max(interval, steps[Math.floor(steps.length / 2)] ?? 0);
  const xs = [];
  const ys = [];
  points.forEach(([x, y], index) => {
    if (index && usual && x - points[index - 1][0] > 3.5 * usual) {
      xs.push((x + points[index - 1][0]) / 2);
      ys.push(null);
    }
    xs.push(x);
    ys.push(y);
  });
  return [xs, ys];
}

// How a person here writes an instant of a span of so many seconds.
function label(span) {
  const parts = span > 2 * 86400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit", ...(span < 300 ? { second: "2-digit" } : {}) };
  const format = new Intl.DateTimeFormat(undefined, parts);
  return (seconds) => format.format(new Date(seconds * 1000));
}

export class Chart {
  constructor(feed, stream, unit) {
    this.path = `/feeds/${feed}/datastreams/${encodeURIComponent(stream)}.json`;
    this.note = h("div", { className: "soft chart-note" });
    this.box = h("div", { className: "chart", role: "img", "aria-label": `Chart of ${stream}` });
    this.element = h("div", {}, this.box, this.note);
    this.unit = unit ?? "";
    this.points = [];
    this.window = null; // [start, end] in seconds while zoomed; null follows the time
    this.span = 6 * 3600;
    this.asked = 0;
    this.observer = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.observer.observe(this.box);
  }

  size() {
    return { width: Math.max(200, this.box.clientWidth), height: 170 };
  }

  close() {
    this.asked = -1;
    this.observer.disconnect();
    this.plot?.destroy();
  }

  async follow(span) {
    this.span = span;
    this.window = null;
    await this.load();
  }

  async zoom(start, end) {
    this.window = [start, end];
    await this.load();
  }

  range() {
    const now = Date.now() / 1000;
    return this.window ?? [now - this.span, now];
  }

  async load() {
    const asked = ++this.asked;
    const [start, end] = this.range();
    const [interval, widest] = intervalFor(end - start);
    const first = Math.max(start, end - widest);
    try {
      const document = await get(this.path, {
        start: new Date(first * 1000).toISOString(), end: new Date(end * 1000).toISOString(), interval, limit: MOST_POINTS,
      });
      if (asked !== this.asked) return;
      this.interval = interval;
      this.points = (document.datapoints ?? []).map((point) => [Date.parse(point.at) / 1000, Number(point.value), point.value]);
      this.draw();
    } catch (error) {
      if (asked === this.asked) toast(error.message);
    }
  }

  add(points) {
    if (this.window !== null) return;
    for (const { at, value } of points) {
      const x = Date.parse(at) / 1000;
      const last = this.points.at(-1);
      if (last && x < last[0]) continue; // an older one is seen when the history is read again
      if (last && x === last[0]) this.points.pop();
      this.points.push([x, Number(value), value]);
    }
    const [start] = this.range();
    while (this.points.length > KEPT_POINTS || (this.points.length && this.points[0][0] < start)) this.points.shift();
    this.draw();
  }

  draw() {
    const numbers = this.points.filter((point) => Number.isFinite(point[1]));
    const shown = numbers.length ? withGaps(numbers, this.interval ?? 0) : [[], []];
    const last = this.points.at(-1);
    this.note.textContent = !this.points.length
      ? "no points in this time"
      : !numbers.length
        ? `${this.points.length} points, none of them a number; the last is “${last[2]}”`
        : `${numbers.length}${numbers.length >= MOST_POINTS ? " or more" : ""} points${this.interval ? `, one each ${this.interval} s` : ""}`;
    this.box.dataset.points = String(numbers.length);
    this.box.dataset.gaps = String(shown[1].filter((y) => y === null).length);
    this.box.hidden = !numbers.length;
    if (!numbers.length) return;
    const [start, end] = this.range();
    if (this.plot) {
      this.plot.setSize(this.size());
      this.plot.setData(shown, false);
      this.plot.setScale("x", { min: start, max: end });
      return;
    }
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    this.plot = new uPlot({
      ...this.size(),
      cursor: { drag: { x: true, y: false, setScale: false } },
      legend: { show: true, live: true },
      scales: { x: { time: true, min: start, max: end } },
      axes: [{ ...axis, values: (plot, ticks) => ticks.map(label(ticks.at(-1) - ticks[0])) }, { ...axis, size: 62 }],
      series: [
        { label: "time", value: (plot, x) => (x === null ? "–" : new Date(x * 1000).toLocaleString()) },
        { label: this.unit || "value", stroke: colour("--accent"), width: 2, spanGaps: false, points: { show: numbers.length < 80 } },
      ],
      hooks: {
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width < 5) return;
            const from = plot.posToVal(left, "x");
            const to = plot.posToVal(left + width, "x");
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            this.box.dispatchEvent(new CustomEvent("zoom", { bubbles: true, detail: [from, to] }));
          },
        ],
      },
    }, shown, this.box);
    this.plot.setScale("x", { min: start, max: end });
  }
}
