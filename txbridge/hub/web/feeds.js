// The list of feeds, the map, and one feed with its charts.

import { get, post, put, remove } from "./api.js";
import { Chart } from "./charts.js";
import { clock, field, form, h, show, sureButton, toast } from "./dom.js";
import { listen } from "./live.js";
import { drawMap } from "./map.js";

const PER_PAGE = 30;
const SPANS = [["1 h", 3600], ["6 h", 6 * 3600], ["1 day", 86400], ["7 days", 7 * 86400], ["30 days", 30 * 86400], ["1 year", 365 * 86400]];

function badges(feed) {
  return [
    h("span", { className: feed.status === "live" ? "badge live-feed" : "badge" }, feed.status ?? "frozen"),
    String(feed.private) === "true" && h("span", { className: "badge private" }, "private"),
  ];
}

function unitOf(stream) {
  return stream.unit?.symbol ?? stream.unit?.label ?? "";
}

function card(feed) {
  const streams = feed.datastreams ?? [];
  const some = streams.slice(0, 4).map((stream) =>
    h("tr", {}, h("td", {}, stream.id), h("td", {}, h("b", {}, stream.current_value ?? "–"), ` ${unitOf(stream)}`)));
  return h("a", { className: "panel card-link", href: `#/feeds/${feed.id}` },
    h("h2", {}, feed.title ?? `Feed ${feed.id}`),
    h("div", { className: "row soft" }, badges(feed), clock(feed.updated)),
    h("table", {}, h("tbody", {}, some)),
    streams.length > some.length && h("p", { className: "soft" }, `and ${streams.length - some.length} more`));
}

export async function listFeeds(parameters) {
  const q = parameters.get("q") ?? "";
  const page = Math.max(1, Number(parameters.get("page")) || 1);
  const search = form({ role: "search" }, async (data) => {
    location.hash = `#/?${new URLSearchParams({ q: data.get("q") })}`;
  }, field("Search titles, descriptions, tags and datastreams", h("input", { name: "q", type: "search", value: q })), h("button", {}, "Search"));
  const make = form({ id: "new-feed" }, async (data) => {
    const { location: where } = await post("/feeds", { title: data.get("title"), private: String(data.get("private") === "on") });
    location.hash = `#/feeds/${where.split("/").pop()}`;
  }, field("Title of a new feed", h("input", { name: "title", required: true, maxLength: 255 })),
  h("label", { className: "check" }, h("input", { type: "checkbox", name: "private" }), "private"), h("button", {}, "Create feed"));
  const list = await get("/feeds.json", { q, page, per_page: PER_PAGE, order: "retrieved_at" });
  const total = Number(list.totalResults);
  const turn = (to, words) => h("a", { className: "button", href: `#/?${new URLSearchParams({ q, page: to })}` }, words);
  show(h("h1", {}, "Feeds"), search,
    h("p", { className: "soft", id: "count" }, total === 0 ? (q ? `Nothing is found for “${q}”.` : "There are no feeds yet: create one, or send something to /v2/feeds.") : `${total} feed${total === 1 ? "" : "s"}`),
    h("div", { className: "cards" }, list.results.map(card)),
    h("div", { className: "row panel", hidden: total <= PER_PAGE && page === 1 }, page > 1 && turn(page - 1, "Newer"), h("span", { className: "soft" }, `page ${page} of ${Math.ceil(total / PER_PAGE)}`), page * PER_PAGE < total && turn(page + 1, "Older")),
    h("details", { className: "panel", open: total === 0 && !q }, h("summary", {}, "New feed"), make));
}

export async function mapOfFeeds() {
  const feeds = [];
  for (let page = 1; page <= 20; page++) {
    const list = await get("/feeds.json", { page, per_page: 100, content: "summary" });
    feeds.push(...list.results);
    if (feeds.length >= Number(list.totalResults)) break;
  }
  show(h("h1", {}, "Map"), await drawMap(feeds));
}

export async function showFeed(number) {
  const feed = await get(`/feeds/${number}.json`);
  const panels = new Map();
  const streams = h("div", { id: "streams" });
  const status = h("span", { className: "row" }, badges(feed));
  const updated = h("span", { className: "soft" }, "updated ", clock(feed.updated));
  let span = 6 * 3600;

  const follow = () => Promise.all([...panels.values()].map(({ chart }) => chart.follow(span)));
  const reset = h("button", { type: "button", className: "quiet", hidden: true, onclick: () => { reset.hidden = true; follow(); } }, "Back to now");
  const spans = SPANS.map(([words, seconds]) => h("button", {
    type: "button", className: "quiet", "aria-pressed": String(seconds === span),
    onclick: (event) => {
      span = seconds;
      spans.forEach((button) => button.setAttribute("aria-pressed", String(button === event.target)));
      reset.hidden = true;
      follow();
    },
  }, words));
  streams.addEventListener("zoom", ({ detail: [from, to] }) => {
    reset.hidden = false;
    Promise.all([...panels.values()].map(({ chart }) => chart.zoom(from, to)));
  });

  function panel(stream) {
    const chart = new Chart(number, stream.id, unitOf(stream));
    const value = h("div", { className: "value", "data-stream": stream.id });
    const at = h("span", { className: "soft" });
    const extremes = h("span", { className: "soft" });
    const send = form({}, async (data, element) => {
      await put(`/feeds/${number}/datastreams/${encodeURIComponent(stream.id)}`, { current_value: data.get("value") });
      element.reset();
    }, field("Send a value", h("input", { name: "value", required: true, maxLength: 255 })), h("button", {}, "Send"),
    sureButton("Delete datastream", async () => {
      await remove(`/feeds/${number}/datastreams/${encodeURIComponent(stream.id)}`);
      drop(stream.id);
    }));
    const element = h("section", { className: "panel", "aria-label": stream.id },
      h("div", { className: "row" }, h("h2", {}, stream.id), (stream.tags ?? []).map((tag) => h("span", { className: "badge" }, tag)), h("span", { className: "end" }, at)),
      value, extremes, chart.element, h("details", {}, h("summary", {}, "Write"), send));
    panels.set(stream.id, { chart, element, value, at, extremes });
    streams.append(element);
    tell(stream, false);
    chart.follow(span);
  }

  function tell(stream, flash) {
    const { value, at, extremes } = panels.get(stream.id);
    value.replaceChildren(stream.current_value ?? "–", " ", h("small", {}, unitOf(stream)));
    if (flash) {
      value.classList.remove("flash");
      void value.offsetWidth;
      value.classList.add("flash");
    }
    at.replaceChildren(clock(stream.at));
    if (stream.min_value !== undefined && stream.max_value !== undefined) extremes.textContent = `from ${stream.min_value} to ${stream.max_value}`;
  }

  function drop(id) {
    const known = panels.get(id);
    known?.chart.close();
    known?.element.remove();
    panels.delete(id);
  }

  const addStream = form({ id: "new-stream" }, async (data, element) => {
    const unit = data.get("symbol") ? { unit: { symbol: data.get("symbol") } } : {};
    const value = data.get("value") ? { current_value: data.get("value") } : {};
    await post(`/feeds/${number}/datastreams`, { datastreams: [{ id: data.get("id"), ...unit, ...value }] });
    element.reset();
    if (!panels.has(data.get("id"))) panel({ id: data.get("id"), ...unit, ...value });
  }, field("Id of a new datastream", h("input", { name: "id", required: true, pattern: "[\\w\\-+.]+" })), field("Unit", h("input", { name: "symbol" })), field("First value", h("input", { name: "value" })), h("button", {}, "Add"));

  const edit = form({}, async (data) => {
    const place = {};
    for (const name of ["lat", "lon"]) if (data.get(name) !== "") place[name] = data.get(name);
    await put(`/feeds/${number}`, { title: data.get("title"), description: data.get("description"), private: String(data.get("private") === "on"), ...(Object.keys(place).length ? { location: place } : {}) });
    toast("Saved.", true);
    title.textContent = data.get("title");
  }, field("Title", h("input", { name: "title", value: feed.title ?? "", required: true })), field("Description", h("input", { name: "description", value: feed.description ?? "" })),
  field("Latitude", h("input", { name: "lat", value: feed.location?.lat ?? "", inputMode: "decimal" })), field("Longitude", h("input", { name: "lon", value: feed.location?.lon ?? "", inputMode: "decimal" })),
  h("label", { className: "check" }, h("input", { type: "checkbox", name: "private", checked: String(feed.private) === "true" }), "private"), h("button", {}, "Save"),
  sureButton("Delete feed", async () => {
    await remove(`/feeds/${number}`);
    location.hash = "#/";
  }));

  const title = h("h1", {}, feed.title ?? `Feed ${number}`);
  show(title, h("div", { className: "row" }, status, updated, h("span", { className: "soft" }, `feed ${number}`), (feed.tags ?? []).map((tag) => h("span", { className: "badge" }, tag))),
    feed.description && h("p", {}, feed.description),
    h("div", { className: "row panel", role: "group", "aria-label": "Time" }, spans, reset, h("span", { className: "soft" }, "drag over a chart to zoom")),
    streams, h("details", { className: "panel", open: !(feed.datastreams ?? []).length }, h("summary", {}, "New datastream"), addStream),
    h("details", { className: "panel" }, h("summary", {}, "Settings of the feed"), edit));
  (feed.datastreams ?? []).forEach(panel);

  const stop = listen(number, (body) => {
    updated.replaceChildren("updated ", clock(body.updated ?? new Date().toISOString()));
    status.replaceChildren(...badges({ ...feed, status: "live" }).filter(Boolean));
    for (const stream of body.datastreams ?? []) {
      if (!panels.has(stream.id)) panel(stream);
      else if (stream.datapoints?.length || stream.current_value !== undefined) {
        tell(stream, Boolean(stream.datapoints?.length));
        panels.get(stream.id).chart.add(stream.datapoints ?? []);
      }
    }
    for (const id of [...panels.keys()]) if (body.datastreams && !body.datastreams.some((stream) => stream.id === id)) drop(id);
  }, follow);
  return () => {
    stop();
    [...panels.keys()].forEach(drop);
  };
}
