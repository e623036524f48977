// The relay beside the hub: how its routes are, and everything that was lost on the way.

import { ask } from "./api.js";
import { clock, field, form, h, show } from "./dom.js";

const look = async (path, query) => (await ask("GET", path, { base: "/relay", query })).document;
const KINDS = ["overflow", "age", "refused", "converted", "corruption", "clock", "source", "stopped", "removed"];
const instant = (ns) => new Date(ns / 1e6).toISOString();
const head = (...words) => h("thead", {}, h("tr", {}, words.map((one) => h("th", {}, one))));
const cells = (...values) => h("tr", {}, values.map((one) => h("td", {}, one)));

function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [size, word] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${(seconds / size).toFixed(1)} ${word}`;
  return `${seconds.toFixed(0)} s`;
}

function routes(report) {
  const rows = (report.routes ?? []).flatMap((route) => {
    const status = route.status ?? {};
    return (status.destinations ?? []).map((one) => cells(route.name ?? status.name, one.name, one.state, String(one.pending_points), length(one.oldest_age), String(one.delivered), one.last_error ?? ""));
  });
  const reasons = (report.reasons ?? []).map((words) => h("p", { className: "soft" }, words));
  return rows.length ? [h("table", {}, head("route", "destination", "state", "waiting", "oldest", "delivered", "last error"), h("tbody", {}, rows)), ...reasons] : reasons;
}

export async function showRelay(parameters) {
  const query = Object.fromEntries(["kind", "stream", "route"].map((name) => [name, parameters.get(name) ?? ""]));
  const ledger = await look("/ledger", query);
  const state = h("div", { className: "panel scroll", id: "routes" });
  const renew = async () => state.replaceChildren(...routes(await look("/status").catch((error) => ({ reasons: [error.message] }))));
  const search = form({ id: "ledger-search" }, async (data) => {
    location.hash = `#/relay?${new URLSearchParams(data)}`;
  }, field("Why", h("select", { name: "kind" }, h("option", { value: "" }, "anything"), KINDS.map((kind) => h("option", { value: kind, selected: kind === query.kind }, kind)))),
  field("Stream", h("input", { name: "stream", value: query.stream })), field("Route", h("input", { name: "route", value: query.route })), h("button", {}, "Show"));
  const sums = ledger.sums.map((one) => cells(one.route, one.destination || "every", one.kind, String(one.points), String(one.losses), clock(instant(one.last_ns))));
  const rows = ledger.rows.map((row) => cells(clock(instant(row.recorded_ns)), row.route, row.destination || "every", row.stream, `${instant(row.start_ns)} – ${instant(row.end_ns)}`, row.points === null ? "?" : String(row.points), row.kind, row.reason));
  show(h("h1", {}, "Relay"), state, h("h2", {}, "What was lost"), search,
    rows.length === 0
      ? h("p", { id: "nothing-lost" }, "Nothing of that kind is in the ledger.")
      : [h("div", { className: "panel scroll" }, h("table", { id: "sums" }, head("route", "destination", "why", "points", "losses", "last"), h("tbody", {}, sums))),
        h("div", { className: "panel scroll" }, h("table", { id: "ledger" }, head("written down", "route", "destination", "stream", "from – to", "points", "why", "words"), h("tbody", {}, rows)))]);
  await renew();
  const timer = setInterval(renew, 2000);
  return () => clearInterval(timer);
}
