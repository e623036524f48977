// The relay beside the hub: how its routes are, and everything that was lost on the way.

import { ask } from "./api.js";
import { clock, field, form, h, row, select, show, table } from "./dom.js";
import { instant, length, number } from "./words.js";

const look = async (path, query) => (await ask("GET", path, { base: "/relay", query })).document;
const KINDS = ["overflow", "age", "refused", "converted", "corruption", "clock", "source", "stopped", "removed"];
const iso = (ns) => new Date(ns / 1e6).toISOString();
const NOBODY = "No relay runs on this machine with the state directory that the hub looks into. Where one runs, its routes are here.";

function routes(report) {
  const rows = (report.routes ?? []).flatMap((route) => {
    const status = route.status ?? {};
    return (status.destinations ?? []).map((one) => row([route.name ?? status.name, one.name, one.state, number(one.pending_points), length(one.oldest_age), number(one.delivered), one.last_error ?? ""]));
  });
  const reasons = (report.reasons ?? []).map((words) => h("p", { className: "soft" }, words));
  return [rows.length ? table(["route", "destination", "state", "waiting", "oldest", "delivered", "last error"], rows) : h("p", {}, NOBODY), ...reasons];
}

export async function showRelay(parameters) {
  const query = Object.fromEntries(["kind", "stream", "route"].map((name) => [name, parameters.get(name) ?? ""]));
  const ledger = await look("/ledger", query);
  const state = h("div", { className: "panel", id: "routes" });
  const renew = async () => state.replaceChildren(...routes(await look("/status").catch((error) => ({ reasons: [error.message] }))));
  const search = form({ id: "ledger-search" }, async (data) => {
    location.hash = `#/relay?${new URLSearchParams(data)}`;
  }, field("Why", select("kind", [["", "anything"], ...KINDS.map((kind) => [kind, kind])], query.kind)),
  field("Stream", h("input", { name: "stream", value: query.stream })), field("Route", h("input", { name: "route", value: query.route })), h("button", {}, "Show"));
  const sums = ledger.sums.map((one) => row([one.route, one.destination || "every", one.kind, number(one.points), number(one.losses), clock(iso(one.last_ns))]));
  const rows = ledger.rows.map((one) => row([clock(iso(one.recorded_ns)), one.route, one.destination || "every", one.stream, `${instant(iso(one.start_ns))} – ${instant(iso(one.end_ns))}`, one.points === null ? "?" : number(one.points), one.kind, one.reason]));
  const filtered = Object.values(query).some(Boolean);
  show(h("h1", {}, "Relay"), state, h("h2", {}, "What was lost"), search,
    rows.length === 0
      ? h("p", { id: "nothing-lost" }, filtered ? "Nothing of that kind is in the ledger." : "Nothing: the ledger is empty.")
      : [h("div", { className: "panel" }, table(["route", "destination", "why", "points", "losses", "last"], sums, { id: "sums" })),
        h("div", { className: "panel" }, table(["written down", "route", "destination", "stream", "from – to", "points", "why", "words"], rows, { id: "ledger" }))]);
  await renew();
  const timer = setInterval(renew, 2000);
  return { leave: () => clearInterval(timer) };
}
