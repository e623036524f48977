// Small lines of the last hours, beside the values in a list.

import { get } from "./api.js";
import { svg } from "./dom.js";
import { drawable, GAP, usualStep } from "./history.js";

const SPAN = 6 * 3600;
const INTERVAL = 300;
const FINEST = 30; // seconds between points that come live
const [WIDTH, HEIGHT] = [80, 24];

export class Sparks {
  constructor(feed) {
    this.feed = feed;
    this.lines = new Map(); // of a datastream: {picture, path, points}
  }

  // The picture of a datastream, whatever it has to show.
  of(id) {
    if (!this.lines.has(id)) {
      const path = svg("path", {});
      this.lines.set(id, { picture: svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" }, path), path, points: [] });
    }
    return this.lines.get(id).picture;
  }

  async load() {
    const datastreams = [...this.lines.keys()].join(",");
    if (!datastreams) return;
    const end = Math.ceil(Date.now() / 1000 / INTERVAL) * INTERVAL; // with the interval that is not over yet
    const iso = (seconds) => new Date(seconds * 1000).toISOString();
    const found = await get(`/feeds/${this.feed}.json`, { datastreams, start: iso(end - SPAN), end: iso(end), interval: INTERVAL, limit: 100 });
    for (const stream of found.datastreams ?? []) {
      const line = this.lines.get(stream.id);
      if (!line) continue;
      line.points = [];
      this.add(stream.id, stream.datapoints ?? []);
    }
  }

  add(id, datapoints) {
    const line = this.lines.get(id);
    for (const { at, value } of datapoints) {
      const point = [Date.parse(at) / 1000, Number(value)];
      if (!Number.isFinite(point[1]) || point[0] < (line.points.at(-1)?.[0] ?? 0)) continue;
      if (line.points.length > 1 && point[0] - line.points.at(-2)[0] < FINEST) line.points.pop();
      line.points.push(point);
    }
    this.draw(line);
  }

  draw({ path, points }) {
    const start = Date.now() / 1000 - SPAN;
    while (points.length && points[0][0] < start) points.shift();
    const gap = GAP * usualStep(points.map(([x]) => x), INTERVAL);
    const ys = points.map(([, y]) => drawable(y));
    const least = Math.min(...ys);
    const height = Math.max(...ys) - least;
    const drawn = points.map(([x], index) => {
      const begins = index === 0 || x - points[index - 1][0] > gap;
      const place = `${((WIDTH * (x - start)) / SPAN).toFixed(1)} ${(HEIGHT - 2 - (height ? (ys[index] - least) / height : 0.5) * (HEIGHT - 4)).toFixed(1)}`;
      return begins ? `M${place}h.01` : `L${place}`; // a point alone is a dot
    });
    path.setAttribute("d", drawn.join(""));
    path.dataset.points = String(points.length);
  }
}
