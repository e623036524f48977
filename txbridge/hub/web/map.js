// Where feeds are: an outline of the land, and a dot for each, without asking anybody else for tiles.

import { get } from "./api.js";
import { badges } from "./badges.js";
import { button, clock, h, row, show, svg, table } from "./dom.js";
import { outline } from "./land.js";
import { count } from "./words.js";

const MOST = 20; // hundreds of feeds that are looked through
const NARROWEST = 0.5; // degrees
const DOT = 7; // pixels

function placed(feeds) {
  return feeds.filter((feed) => feed.location?.lat !== undefined && feed.location?.lon !== undefined)
    .map((feed) => ({ feed, x: Number(feed.location.lon) + 180, y: 90 - Number(feed.location.lat) }))
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
}

// [x, y, width] of a box twice as wide as high, which holds all places.
function around(places) {
  if (!places.length) return [0, 0, 360];
  const xs = places.map(({ x }) => x);
  const ys = places.map(({ y }) => y);
  const width = Math.min(360, Math.max(24, (Math.max(...xs) - Math.min(...xs)) * 1.3, (Math.max(...ys) - Math.min(...ys)) * 2.6));
  return [(Math.max(...xs) + Math.min(...xs) - width) / 2, (Math.max(...ys) + Math.min(...ys) - width / 2) / 2, width];
}

function inside([x, y, width]) {
  const wide = Math.min(360, Math.max(NARROWEST, width));
  return [Math.min(Math.max(0, x), 360 - wide), Math.min(Math.max(0, y), 180 - wide / 2), wide];
}

function drawMap(places, land) {
  const picture = svg("svg", { class: "map", role: "group", "aria-label": "Map of the feeds" }, svg("path", { d: land, class: "land" }));
  let box = null;
  const dots = places.map(({ feed, x, y }) => {
    const dot = svg("circle", { cx: x, cy: y, class: feed.status === "live" ? "live-feed" : "" }, svg("title", {}, feed.title ?? `Feed ${feed.id}`));
    picture.append(svg("a", { href: `#/feeds/${feed.id}`, "aria-label": feed.title ?? `Feed ${feed.id}` }, dot));
    return dot;
  });
  const size = () => dots.forEach((dot) => dot.setAttribute("r", (box[2] * DOT) / (picture.clientWidth || 900)));
  const look = (next) => {
    box = inside(next);
    picture.setAttribute("viewBox", `${box[0]} ${box[1]} ${box[2]} ${box[2] / 2}`);
    size();
  };
  new ResizeObserver(size).observe(picture);
  const scale = (by, at = [0.5, 0.5]) => {
    const width = Math.min(360, Math.max(NARROWEST, box[2] * by));
    look([box[0] + (box[2] - width) * at[0], box[1] + ((box[2] - width) / 2) * at[1], width]);
  };
  drag(picture, (dx, dy) => look([box[0] - dx * box[2], box[1] - dy * box[2], box[2]]));
  picture.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top, width, height } = picture.getBoundingClientRect();
    scale(event.deltaY > 0 ? 1.25 : 0.8, [(event.clientX - left) / width, (event.clientY - top) / height]);
  }, { passive: false });
  look(around(places));
  const tools = h("div", { className: "row tight map-tools", role: "group", "aria-label": "Map" },
    button("+", () => scale(0.5), { "aria-label": "Zoom in" }), button("−", () => scale(2), { "aria-label": "Zoom out" }), button("All", () => look(around(places))));
  return h("div", { className: "map-box" }, picture, tools);
}

// Tells how far a pointer moved, in widths of the picture; a click on a dot stays a click.
function drag(picture, moved) {
  let last = null;
  picture.addEventListener("pointerdown", (event) => (last = [event.clientX, event.clientY]));
  picture.addEventListener("pointermove", (event) => {
    if (last === null || event.buttons === 0) return (last = null);
    const width = picture.getBoundingClientRect().width;
    moved((event.clientX - last[0]) / width, (event.clientY - last[1]) / width);
    last = [event.clientX, event.clientY];
  });
  picture.addEventListener("pointerup", () => (last = null));
  picture.addEventListener("dragstart", (event) => event.preventDefault());
}

export async function mapOfFeeds() {
  const land = fetch("/web/vendor/land-110m.json").then((response) => response.json());
  const feeds = [];
  for (let page = 1; page <= MOST; page++) {
    const list = await get("/feeds.json", { page, per_page: 100, content: "summary" });
    feeds.push(...list.results);
    if (feeds.length >= Number(list.totalResults)) break;
  }
  const places = placed(feeds);
  const rows = places.map(({ feed }) => row([h("a", { href: `#/feeds/${feed.id}` }, feed.title ?? `Feed ${feed.id}`), h("span", { className: "row tight" }, badges(feed)), clock(feed.updated), [feed.location.name, `${feed.location.lat}, ${feed.location.lon}`].filter(Boolean).join(" · ")]));
  show(h("div", { className: "row" }, h("h1", {}, "Map"), h("span", { className: "soft" }, `${places.length} of ${count(feeds.length, "feed")} ${places.length === 1 ? "says" : "say"} where they are`)),
    drawMap(places, outline(await land)),
    rows.length ? h("div", { className: "panel" }, table(["feed", "state", "updated", "place"], rows)) : h("p", {}, "Give a feed its latitude and longitude in its settings, and it is on the map."));
}
