// What can be changed about a feed.

import { post, put, remove } from "./api.js";
import { sure } from "./dialog.js";
import { check, field, form, h, select, toast } from "./dom.js";

const PLACES = [["lat", "Latitude"], ["lon", "Longitude"], ["ele", "Elevation in metres"]];
const DEGREES = new Set(["lat", "lon"]); // the API can change them and not take them away
const KINDS = [["exposure", ["indoor", "outdoor"]], ["disposition", ["fixed", "mobile"]], ["domain", ["physical", "virtual"]]];

export function newFeedForm() {
  return form({ id: "new-feed" }, async (data) => {
    const { location: where } = await post("/feeds", { title: data.get("title"), private: String(data.get("private") === "on") });
    location.hash = `#/feeds/${where.split("/").pop()}`;
  }, field("Title of a new feed", h("input", { name: "title", required: true, maxLength: 255 })), check("private", "private"), h("button", {}, "Create feed"));
}

export function newStreamForm(number) {
  return form({ id: "new-stream" }, async (data, element) => {
    const unit = data.get("symbol") ? { unit: { symbol: data.get("symbol") } } : {};
    const value = data.get("value") ? { current_value: data.get("value") } : {};
    await post(`/feeds/${number}/datastreams`, { datastreams: [{ id: data.get("id"), ...unit, ...value }] });
    element.reset();
  }, field("Id of a new datastream", h("input", { name: "id", required: true, maxLength: 255, pattern: "[\\w\\-+.]+", title: "letters, digits, _, -, + and ." })), field("Unit", h("input", { name: "symbol" })), field("First value", h("input", { name: "value" })), h("button", {}, "Add"));
}

export function feedSettings(feed, saved) {
  const place = feed.location ?? {};
  return form({ id: "feed-settings" }, async (data) => {
    const where = {};
    for (const name of ["name", ...PLACES.map(([one]) => one), ...KINDS.map(([one]) => one)]) if (data.get(name) !== "" || (place[name] !== undefined && !DEGREES.has(name))) where[name] = data.get(name);
    const changed = { title: data.get("title"), description: data.get("description"), website: data.get("website"), private: String(data.get("private") === "on"), tags: data.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean) };
    await put(`/feeds/${feed.id}`, { ...changed, ...(Object.keys(where).length ? { location: where } : {}) });
    toast("Saved.", true);
    await saved();
  }, field("Title", h("input", { name: "title", value: feed.title ?? "", required: true, maxLength: 255 })), field("Description", h("input", { name: "description", value: feed.description ?? "" })),
  field("Tags, with commas between", h("input", { name: "tags", value: (feed.tags ?? []).join(", ") })), field("Web site", h("input", { name: "website", value: feed.website ?? "" })),
  field("Place", h("input", { name: "name", value: place.name ?? "" })), PLACES.map(([name, words]) => field(words, h("input", { name, value: place[name] ?? "", inputMode: "decimal" }))),
  KINDS.map(([name, kinds]) => field(`${name[0].toUpperCase()}${name.slice(1)}`, select(name, [["", "not said"], ...kinds.map((kind) => [kind, kind])], place[name] ?? ""))),
  check("private", "private", String(feed.private) === "true"), h("button", {}, "Save"),
  h("button", { type: "button", className: "danger", onclick: () => sure(`Delete “${feed.title}”?`, "The feed is deleted with all its datastreams, their whole history and their triggers. This cannot be undone.", "Delete feed", async () => {
    await remove(`/feeds/${feed.id}`);
    location.hash = "#/";
  }) }, "Delete feed"));
}
