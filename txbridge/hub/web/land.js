// The outline of the land, from TopoJSON to the path of an SVG with x from 0 to 360 and y from 0 to 180.

// TopoJSON keeps lines once, as differences of whole numbers.
function lines({ arcs, transform: { scale, translate } }) {
  return arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [x * scale[0] + translate[0] + 180, 90 - (y * scale[1] + translate[1])];
    });
  });
}

// Land beyond the 180th meridian comes back on the other side, which would draw a line across the whole map: it is
// taken as going on, and drawn once more a whole turn away.  What goes round the pole is closed along the edge.
function unwound(ring) {
  let turn = 0;
  const points = ring.map(([x, y], index) => {
    if (index && x - ring[index - 1][0] > 180) turn -= 360;
    else if (index && x - ring[index - 1][0] < -180) turn += 360;
    return [x + turn, y];
  });
  if (turn) points.push([points.at(-1)[0], 180], [points[0][0], 180]);
  return points;
}

const path = (points, by) => points.map(([x, y], index) => `${index ? "L" : "M"}${(x + by).toFixed(2)} ${y.toFixed(2)}`).join("") + "Z";

export function outline(topology) {
  const arcs = lines(topology);
  const ring = (indices) => indices.map((index) => (index < 0 ? arcs[~index].slice().reverse() : arcs[index])).flat();
  return topology.objects.land.geometries
    .flatMap((geometry) => (geometry.type === "Polygon" ? [geometry.arcs] : geometry.arcs))
    .flatMap((polygon) => polygon.map(ring)).map(unwound)
    .flatMap((points) => {
      const xs = points.map(([x]) => x);
      const least = Math.min(...xs);
      const greatest = Math.max(...xs);
      return [0, -360, 360].filter((by) => greatest + by > 0 && least + by < 360).map((by) => path(points, by));
    }).join("");
}
