// Where feeds are: an outline of the land, and a dot for each, without asking anybody else for tiles.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// TopoJSON keeps lines once, as differences of whole numbers.
function outline(topology) {
  const { scale, translate } = topology.transform;
  const arcs = topology.arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [x * scale[0] + translate[0] + 180, 90 - (y * scale[1] + translate[1])];
    });
  });
  const ring = (indices) =>
    indices.map((index) => (index < 0 ? arcs[~index].slice().reverse() : arcs[index])).flat()
      .map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("") + "Z";
  return topology.objects.land.geometries
    .flatMap((geometry) => (geometry.type === "Polygon" ? [geometry.arcs] : geometry.arcs))
    .flatMap((polygon) => polygon.map(ring)).join("");
}

function windowOf(places) {
  if (!places.length) return [0, 5, 360, 150];
  const xs = places.map(([, lon]) => lon + 180);
  const ys = places.map(([lat]) => 90 - lat);
  const width = Math.min(360, Math.max(24, (Math.max(...xs) - Math.min(...xs)) * 1.4, (Math.max(...ys) - Math.min(...ys)) * 2.8));
  const height = width / 2;
  const middle = [(Math.max(...xs) + Math.min(...xs)) / 2, (Math.max(...ys) + Math.min(...ys)) / 2];
  return [
    Math.min(Math.max(0, middle[0] - width / 2), 360 - width), Math.min(Math.max(0, middle[1] - height / 2), 180 - height), width, height,
  ];
}

export async function drawMap(feeds) {
  const placed = feeds.filter((feed) => feed.location?.lat !== undefined && feed.location?.lon !== undefined)
    .map((feed) => ({ feed, at: [Number(feed.location.lat), Number(feed.location.lon)] }))
    .filter(({ at }) => at.every(Number.isFinite));
  const topology = await (await fetch("/web/vendor/land-110m.json")).json();
  const box = windowOf(placed.map(({ at }) => at));
  const picture = svg("svg", { viewBox: box.join(" "), class: "map", role: "group", "aria-label": "Map of the feeds" });
  picture.append(svg("path", { d: outline(topology), class: "land" }));
  for (const { feed, at: [lat, lon] } of placed) {
    const dot = svg("circle", { cx: lon + 180, cy: 90 - lat, r: box[2] / 90 }, svg("title", {}, `${feed.title} (${lat}, ${lon})`));
    picture.append(svg("a", { href: `#/feeds/${feed.id}` }, dot));
  }
  return h("div", {}, picture, h("p", { className: "soft" }, placed.length ? `${placed.length} of ${feeds.length} feeds say where they are` : "No feed says where it is."));
}
