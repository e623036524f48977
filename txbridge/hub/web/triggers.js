// Triggers: URLs that are called when a datastream does something, and what became of calling them.

import { get, post, remove } from "./api.js";
import { sure } from "./dialog.js";
import { clock, field, form, h, row, select, show, table, toast } from "./dom.js";
import { instant, number } from "./words.js";

const TYPES = [["gt", "rises above"], ["gte", "reaches from below"], ["lt", "falls below"], ["lte", "reaches from above"], ["eq", "becomes"], ["change", "changes"], ["frozen", "is not written for 15 minutes"], ["live", "is written again after that"]];
const COMPARE = new Set(["gt", "gte", "lt", "lte", "eq"]);
const HEADS = ["datastream", "fires when it", "calls", "last called", ""];
const RENEWED = 2000;
const [BEFORE, AFTER] = [3600, 900]; // seconds around an instant at which it fired

const wordsOf = (trigger) => `${TYPES.find(([name]) => name === trigger.trigger_type)?.[1] ?? trigger.trigger_type} ${COMPARE.has(trigger.trigger_type) ? trigger.threshold_value ?? "" : ""}`;

async function titles(triggers) {
  const ids = [...new Set(triggers.map((trigger) => trigger.environment_id))].slice(0, 50);
  const feeds = await Promise.all(ids.map((id) => get(`/feeds/${id}.json`, { datastreams: "" }).catch(() => ({}))));
  return new Map(ids.map((id, index) => [id, feeds[index].title ?? `feed ${id}`]));
}

function outcome(line) {
  if (line.retry_at && line.tries === 0) return "is being sent";
  return [line.outcome, line.retry_at && h("span", { className: "soft" }, " · again ", clock(line.retry_at)), line.tries > 1 && h("span", { className: "soft" }, ` · ${line.tries} tries`)];
}

// When it fired, and the way to what the feed did around then.
function fired(trigger, at) {
  const seconds = Math.floor(Date.parse(at) / 1000);
  const query = new URLSearchParams({ from: seconds - BEFORE, to: Math.min(seconds + AFTER, Math.ceil(Date.now() / 1000)) });
  return [h("a", { href: `#/feeds/${trigger.environment_id}?${query}` }, instant(at)), h("span", { className: "soft" }, " · ", clock(at))];
}

// The log of one trigger, as long as it is open.
function log(trigger) {
  const box = h("div", { className: "log" });
  const details = h("details", { "data-log": trigger.id }, h("summary", {}, "Log"), box);
  let before = null;
  const renew = async () => {
    if (!details.open) return;
    const { log: lines } = await get(`/triggers/${trigger.id}/log`);
    const text = JSON.stringify(lines);
    if (text === before) return;
    before = text;
    box.replaceChildren(lines.length ? table(["fired", "value", "what became of it"], lines.map((line) => row([fired(trigger, line.at), number(line.value ?? "–"), outcome(line)]))) : h("p", { className: "soft" }, "It has not fired yet."));
  };
  details.addEventListener("toggle", () => renew().catch((error) => box.replaceChildren(error.message)));
  return { details, renew };
}

// Offers the feeds and the datastreams there are, and takes any other as well.
function pickers(parameters) {
  const feeds = h("datalist", { id: "known-feeds" });
  const streams = h("datalist", { id: "known-streams" });
  const offer = async () => {
    if (!feed.value) return;
    const found = await get(`/feeds/${feed.value}.json`).catch(() => ({}));
    streams.replaceChildren(...(found.datastreams ?? []).map((one) => h("option", { value: one.id })));
  };
  const feed = h("input", { name: "feed", required: true, inputMode: "numeric", pattern: "[0-9]+", list: "known-feeds", value: parameters.get("feed") ?? "", onchange: offer, autocomplete: "off" });
  const stream = h("input", { name: "stream", required: true, list: "known-streams", value: parameters.get("stream") ?? "", autocomplete: "off" });
  get("/feeds.json", { per_page: 100, content: "summary" }).then((list) => feeds.replaceChildren(...list.results.map((one) => h("option", { value: one.id, label: one.title ?? "" })))).catch(() => {});
  offer();
  return [field("Feed number", feed), field("Datastream", stream), feeds, streams];
}

function newTrigger(parameters) {
  const threshold = field("this value", h("input", { name: "threshold", required: true }));
  const kind = select("type", TYPES, "gt");
  kind.addEventListener("change", () => {
    threshold.hidden = !COMPARE.has(kind.value);
    threshold.querySelector("input").required = !threshold.hidden;
  });
  return form({ id: "new-trigger" }, async (data) => {
    const trigger = { environment_id: Number(data.get("feed")), stream_id: data.get("stream"), trigger_type: data.get("type"), url: data.get("url") };
    if (COMPARE.has(trigger.trigger_type)) trigger.threshold_value = data.get("threshold");
    await post("/triggers", trigger);
    toast("The trigger is set.", true);
    if (location.hash === "#/triggers") dispatchEvent(new Event("hashchange"));
    else location.hash = "#/triggers";
  }, pickers(parameters), field("fires when the value", kind), threshold, field("URL to call", h("input", { name: "url", type: "url", required: true, placeholder: "https://" })), h("button", {}, "Set trigger"));
}

export async function listTriggers(parameters = new URLSearchParams()) {
  const triggers = await get("/triggers.json");
  const names = await titles(triggers);
  const logs = triggers.map(log);
  const cells = new Map(triggers.map((trigger) => [trigger.id, h("span", {}, clock(trigger.notified_at))]));
  const rows = triggers.flatMap((trigger, index) => [row([
    h("span", {}, h("a", { href: `#/feeds/${trigger.environment_id}` }, names.get(trigger.environment_id) ?? `feed ${trigger.environment_id}`), ` / ${trigger.stream_id}`),
    wordsOf(trigger), trigger.url, cells.get(trigger.id),
    h("button", { type: "button", className: "danger", onclick: () => sure("Delete this trigger?", `${trigger.url} is not called any more.`, "Delete trigger", async () => { await remove(`/triggers/${trigger.id}`); dispatchEvent(new Event("hashchange")); }) }, "Delete"),
  ], { "data-trigger": trigger.id, className: "joined" }), h("tr", { className: "log-row" }, h("td", { colSpan: HEADS.length }, logs[index].details))]);
  show(h("h1", {}, "Triggers"), h("p", { className: "soft" }, "When a datastream begins to do something, the hub posts a form to a URL, and tries again for about an hour if nobody takes it. It does not fire again while that lasts. Addresses of private networks need ", h("code", {}, "txbridge hub --allow-webhooks"), "."),
    h("details", { className: "panel", open: !triggers.length || parameters.has("feed") }, h("summary", {}, "New trigger"), newTrigger(parameters)),
    rows.length ? h("div", { className: "panel" }, table(HEADS, rows)) : h("p", {}, "There are no triggers."));
  const timer = setInterval(async () => {
    if (document.hidden) return;
    const [fresh] = await Promise.all([get("/triggers.json").catch(() => []), ...logs.map(({ renew }) => renew().catch(() => {}))]);
    for (const { id, notified_at: at } of fresh) if (at && cells.get(id)?.firstElementChild?.dateTime !== at) cells.get(id)?.replaceChildren(clock(at));
  }, RENEWED);
  return { leave: () => clearInterval(timer) };
}
