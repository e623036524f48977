// One datastream of a feed: its value now, its chart, and what can be done with it.

import { download, get, post, put, remove } from "./api.js";
import { Chart } from "./charts.js";
import { command } from "./copy.js";
import { sure } from "./dialog.js";
import { button, clock, field, flashed, form, h, lazyDetails, toast } from "./dom.js";
import { measure, unitOf } from "./words.js";

const LARGE = 14; // characters of a value that fit into the large letters

export function streamPanel(feed, stream, time, mine) {
  let known = stream;
  let shown = null;
  const path = `/feeds/${feed}/datastreams/${encodeURIComponent(stream.id)}`;
  const chart = new Chart(`${path}.json`, stream.id, unitOf(stream), time, () => known.at);
  const value = h("div", { className: "value", "data-stream": stream.id });
  const at = h("span", { className: "soft end" });
  const extremes = h("div", { className: "soft extremes" });
  const tags = h("span", { className: "row tight" });
  const more = lazyDetails("More", () => actions(feed, path, () => known, tell, mine));
  const element = h("section", { className: "panel stream", "aria-label": stream.id },
    h("div", { className: "row" }, h("h2", {}, stream.id), tags, at), value, extremes, chart.element, more);

  function tell(next) {
    const print = JSON.stringify({ ...next, datapoints: undefined });
    if (print === shown) return;
    shown = print;
    const flash = known !== next && next.current_value !== undefined && next.at !== known.at;
    known = next;
    chart.unit = unitOf(next);
    chart.element.hidden = next.at === undefined;
    const text = next.current_value;
    value.title = text ?? "";
    const [words, unit] = text === undefined ? ["–", unitOf(next)] : measure(text, unitOf(next));
    value.classList.toggle("long", words.length > LARGE);
    value.replaceChildren(words, " ", h("small", { title: next.unit?.label ?? "" }, unit));
    if (flash) flashed(value);
    at.replaceChildren(clock(next.at, "nothing yet"));
    const some = next.min_value !== undefined && next.max_value !== undefined && next.min_value !== next.max_value;
    extremes.textContent = some ? `ever between ${[next.min_value, next.max_value].map((one) => measure(one, unitOf(next)).join(" ").trim()).join(" and ")}` : "";
    tags.replaceChildren(...(next.tags ?? []).map((tag) => h("span", { className: "badge" }, tag)));
  }

  tell(stream);
  return { element, chart, tell, close: () => chart.close() };
}

function actions(feed, path, known, tell, mine) {
  const stream = known();
  const send = form({ "data-form": "send" }, async (data, element) => {
    if (data.get("at")) await post(`${path}/datapoints`, { datapoints: [{ at: new Date(data.get("at")).toISOString(), value: data.get("value") }] });
    else await put(path, { current_value: data.get("value") });
    element.reset();
  }, field("Send a value", h("input", { name: "value", required: true, maxLength: 255 })), field("of this time (empty: now)", h("input", { type: "datetime-local", step: 1, name: "at" })), h("button", {}, "Send"));
  const settings = form({ "data-form": "datastream" }, async (data) => {
    const unit = { ...(known().unit ?? {}), symbol: data.get("symbol"), label: data.get("label") };
    await put(path, { unit, tags: data.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean) });
    tell(await get(`${path}.json`));
    toast("Saved.", true);
  }, field("Unit, as a symbol", h("input", { name: "symbol", value: stream.unit?.symbol ?? "" })), field("and as a word", h("input", { name: "label", value: stream.unit?.label ?? "" })),
  field("Tags, with commas between", h("input", { name: "tags", value: (stream.tags ?? []).join(", ") })), h("button", {}, "Save"));
  const query = new URLSearchParams({ feed, stream: stream.id });
  return h("div", { className: "more" }, mine && [send, settings,
    h("p", { className: "soft" }, "From a device or a terminal:"), command("PUT", `${path}.json`, { current_value: "21.5" })],
    h("div", { className: "row" }, h("a", { className: "button quiet", href: `#/triggers?${query}` }, "Set a trigger"),
      button("Download all as CSV", () => download(`${path}/archive.csv`, `feed-${feed}-${stream.id}.csv`)),
      mine && h("button", { type: "button", className: "danger", onclick: () => sure(`Delete ${stream.id}?`, "The datastream is deleted with its whole history and its triggers. This cannot be undone.", "Delete datastream", () => remove(path)) }, "Delete datastream")));
}
