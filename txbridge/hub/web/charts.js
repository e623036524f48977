// A chart of one datastream: its history at the distance of points the window needs, and what comes live.

import { blame, h } from "./dom.js";
import { drawable, readExtremes, readHistory, withGaps } from "./history.js";
import { unwatch, watch } from "./near.js";
import { band } from "./states.js";
import { count, instant, length, measure } from "./words.js";

const KEPT_POINTS = 5000;
const HEIGHT = 160;

const open = new Set();
setInterval(() => open.forEach((chart) => chart.slide()), 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => open.forEach((chart) => chart.recolour()));

// How a person here writes an instant of a span of so many seconds.
function tick(span) {
  const parts = span > 200 * 86400 ? { month: "short", year: "numeric" } : span > 5 * 86400 ? { day: "numeric", month: "short" }
    : span > 20 * 3600 ? { weekday: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", ...(span < 300 ? { second: "2-digit" } : {}) };
  const format = new Intl.DateTimeFormat(undefined, parts);
  return (seconds) => format.format(new Date(seconds * 1000));
}

function numbers(ticks, step, unit) {
  const [digits, power] = step.toExponential(1).split("e"); // a step is 1, 2, 2.5 or 5 times a power of ten
  const decimals = Math.min(10, Math.max(0, (digits.endsWith("0") ? 0 : 1) - power));
  const words = (one) => {
    const [text, prefixed] = measure(one.toFixed(decimals), unit);
    return prefixed === unit ? text : `${text} ${prefixed}`;
  };
  return ticks.map((one) => (Math.abs(one) >= 1e15 ? one.toExponential(1) : words(one)));
}

const widthOf = (plot, texts) => 14 + 7.5 * Math.max(3, ...(texts ?? []).map((text) => text.length));

// A point between two gaps has no line; it is shown as a dot.
function alone(plot, series, dense) {
  if (dense) return null;
  // What is undefined belongs to another line: only a null is a gap.
  const own = plot.data[series].map((y, index) => [y, index]).filter(([y]) => y !== undefined);
  const missing = (index) => (own[index]?.[0] ?? null) === null;
  return own.flatMap(([y, place], index) => (y !== null && missing(index - 1) && missing(index + 1) ? [place] : []));
}

// uPlot knows the mouse alone; a finger that moves sideways does what a mouse does.
function touch(over) {
  const names = { pointerdown: "mousedown", pointermove: "mousemove", pointerup: "mouseup" };
  let start = null;
  const mouse = (name, { clientX, clientY }) => over.dispatchEvent(new MouseEvent(name, { clientX, clientY, movementX: 1, bubbles: true, button: 0 }));
  for (const [name, as] of Object.entries(names)) {
    over.addEventListener(name, (event) => {
      if (event.pointerType !== "touch") return;
      if (as === "mousedown") start = event;
      mouse(as, event);
    });
  }
  over.addEventListener("pointercancel", () => {
    if (start === null) return;
    mouse("mousemove", start);
    mouse("mouseup", start);
    start = null;
  });
}

export class Chart {
  // time: see `TimeBar`; latest(): when the datastream was last written, for who looks at an empty window.
  constructor(path, name, unit, time, latest) {
    Object.assign(this, { path, name, unit, time, latest });
    this.box = h("div", { className: "chart", role: "img", "aria-label": `Chart of ${name}` });
    this.note = h("div", { className: "soft chart-note" });
    this.element = h("div", {}, this.box, this.note);
    this.points = [];
    this.before = null;
    this.extremes = null;
    this.interval = 0;
    this.asked = 0;
    this.due = null;
    this.visible = false;
    this.stale = true;
    this.resized = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.resized.observe(this.box);
    watch(this.box, (visible) => this.seen(visible));
    open.add(this);
  }

  close() {
    this.asked = -1;
    cancelAnimationFrame(this.due);
    open.delete(this);
    this.resized.disconnect();
    unwatch(this.box);
    this.plot?.destroy();
  }

  size() {
    return { width: Math.max(200, this.box.clientWidth), height: HEIGHT };
  }

  seen(visible) {
    this.visible = visible;
    if (visible && this.stale) this.load();
    else if (visible) this.draw();
  }

  // The window is another, or something may have been missed.
  async load() {
    this.stale = true;
    if (!this.visible || this.asked < 0) return;
    this.stale = false;
    const asked = ++this.asked;
    const [start, end] = this.time.range();
    const mine = () => asked === this.asked;
    try {
      const found = await readHistory(this.path, start, end);
      if (!mine()) return;
      Object.assign(this, found, { extremes: null });
      this.draw();
      if (!this.interval || !this.points.some(([, y]) => Number.isFinite(y))) return;
      const extremes = await readExtremes(this.path, start, end, this.interval);
      if (!mine()) return;
      this.extremes = extremes;
      this.draw();
    } catch (error) {
      blame(error);
      if (mine()) this.note.textContent = error.message;
    }
  }

  add(points) {
    if (!this.time.following || this.stale) return;
    for (const { at, value } of points) {
      const x = Date.parse(at) / 1000;
      const last = this.points.at(-1);
      if (last && x < last[0]) continue; // an older one is seen when the history is read again
      if (last && x === last[0]) this.points.pop();
      this.points.push([x, Number(value), value]);
    }
    const [start] = this.time.range();
    while (this.points.length > KEPT_POINTS || (this.points.length && this.points[0][0] < start)) this.before = this.points.shift();
    if (this.visible) this.due ??= requestAnimationFrame(() => this.draw()); // however many come
  }

  // Time goes on while nothing is written.
  slide() {
    if (!this.visible || this.stale || !this.time.following) return;
    const [start, end] = this.time.range();
    if (end - (this.shown ?? 0) > (end - start) / 400) this.draw();
  }

  recolour() {
    this.plot?.destroy();
    this.plot = null;
    if (this.visible && !this.stale) this.draw();
  }

  draw() {
    cancelAnimationFrame(this.due);
    this.due = null;
    const window = this.time.range();
    this.shown = window[1];
    const kept = this.points.filter(([, y]) => Number.isFinite(y));
    const line = withGaps([kept.map(([x]) => x), kept.map(([, y]) => drawable(y))], this.interval);
    this.box.dataset.points = String(kept.length);
    this.box.dataset.gaps = String(line[1].filter((y) => y === null).length);
    this.box.dataset.states = String(this.points.length - kept.length);
    if (kept.length) this.drawLine(line, window);
    else this.drawOther(window);
    this.summary = this.summarise(kept);
    this.note.replaceChildren(...this.summary);
  }

  summarise(kept) {
    const ys = kept.map(([, y]) => y);
    const thinned = this.interval ? `, the last of each ${length(this.interval)}` : "";
    const others = kept.length && kept.length < this.points.length ? `, and ${count(this.points.length - kept.length, "text")}` : "";
    const words = `${count(kept.length || this.points.length, "point")}${thinned}${others}`;
    this.box.setAttribute("aria-label", kept.length ? `Chart of ${this.name}: ${words}, from ${Math.min(...ys)} to ${Math.max(...ys)} ${this.unit}` : `Chart of ${this.name}: ${words}`);
    const latest = this.latest();
    if (this.points.length || !latest) return [this.points.length ? words : "nothing was written yet"];
    const show = h("button", { type: "button", className: "inline", onclick: () => this.time.look(Date.parse(latest) / 1000) }, "Show the latest");
    return ["no points in this time ", show];
  }

  drawOther(window) {
    this.plot?.destroy();
    this.plot = null;
    const lasts = this.before !== null && !Number.isFinite(this.before[1]); // a state lasts until the next begins, a number does not
    const shown = lasts ? [this.before, ...this.points] : this.points;
    this.box.replaceChildren(...(shown.length ? band(shown, window) : []));
  }

  drawLine(line, [start, end]) {
    const none = line[0].map(() => null);
    const data = this.extremes ? uPlot.join([line, ...this.extremes.map((one) => withGaps(one, this.interval))]) : [...line, none, none];
    if (this.plot) {
      this.plot.setData(data, false);
      this.plot.setScale("x", { min: start, max: end });
      return;
    }
    this.box.replaceChildren();
    this.plot = new uPlot(this.options(start, end), data, this.box);
    touch(this.plot.over);
  }

  options(start, end) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1, size: 5 } };
    const edge = { stroke: "transparent", width: 1, points: { show: false } };
    return {
      ...this.size(),
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "feed", filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } }, bind: { dblclick: () => () => this.time.wider() } },
      legend: { show: false },
      scales: { x: { time: true, min: start, max: end } },
      padding: [8, null, 0, null],
      axes: [{ ...axis, space: 76, size: 28, values: (plot, ticks) => ticks.map(tick(plot.scales.x.max - plot.scales.x.min)) }, { ...axis, space: 34, values: (plot, ticks, index, space, step) => numbers(ticks, step, this.unit), size: widthOf }],
      series: [{}, { stroke: colour("--accent"), width: 2, spanGaps: false, points: { size: 5, filter: alone } }, edge, edge],
      bands: [{ series: [3, 2], fill: colour("--band") }],
      hooks: {
        setSelect: [(plot) => {
          const { left, width } = plot.select;
          if (width < 5) return;
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          this.time.zoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
        }],
        setCursor: [(plot) => this.point(plot)],
      },
    };
  }

  // What is under the cursor, in the words of the note.
  point(plot) {
    const x = plot.cursor.left < 0 ? null : plot.posToVal(plot.cursor.left, "x");
    if (x === null) return this.note.replaceChildren(...(this.summary ?? []));
    const nearest = this.points.reduce((best, one) => (best === null || Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best), null);
    if (nearest) this.note.replaceChildren(h("b", {}, measure(nearest[2], this.unit).join(" ")), ` ${instant(nearest[0] * 1000)}`);
  }
}
