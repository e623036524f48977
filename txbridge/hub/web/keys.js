// API keys: who may do what.

import { get, keyReplaced, post, put, remove } from "./api.js";
import { secret } from "./copy.js";
import { formDialog, sure } from "./dialog.js";
import { check, expiry, field, form, h, row, show, table } from "./dom.js";
import { localInput } from "./words.js";

const METHODS = [["get", "read"], ["put", "update"], ["post", "create"], ["delete", "delete"]];
const ONCE = "It is shown this once: the hub keeps only its digest. Devices send it in the header X-ApiKey.";

const words = (methods) => (methods ?? []).map((method) => METHODS.find(([name]) => name === method)?.[1] ?? method).join(", ");
const textOf = (where) => decodeURIComponent(where.split("/").pop());

function what(key) {
  return (key.permissions ?? []).map((permission) => {
    const parts = [words(permission.access_methods)];
    for (const resource of permission.resources ?? []) parts.push(resource.feed_id === undefined ? `trigger ${resource.datastream_trigger_id}` : `feed ${resource.feed_id}${resource.datastream_id ? ` / ${resource.datastream_id}` : ""}`);
    if (permission.source_ip) parts.push(`from ${permission.source_ip}`);
    if (permission.referer) parts.push(`on ${permission.referer}`);
    if (permission.minimum_interval) parts.push(`each ${permission.minimum_interval} s at the finest`);
    return h("div", {}, parts.join(" · "));
  });
}

const expires = (key) => field("Expires (empty: never)", h("input", { name: "expires", type: "datetime-local", value: key?.expires_at ? localInput(Date.parse(key.expires_at) / 1000) : "" }));

function change(key, done) {
  formDialog(`Change “${key.label}”`, (close, buttons) => form({}, async (data) => {
    const changed = { label: data.get("label"), private_access: data.get("private") === "on" };
    if (data.get("expires")) changed.expires_at = new Date(data.get("expires")).toISOString();
    await put(`/keys/${key.api_key}`, { key: changed });
    close();
    await done();
  }, field("Label", h("input", { name: "label", required: true, maxLength: 255, value: key.label })), expires(key), check("private feeds too", "private", key.private_access === true), buttons));
}

export async function listKeys(parameters = new URLSearchParams()) {
  const { keys } = await get("/keys.json");
  const fresh = h("div", { id: "fresh-key" });
  const again = async (where, words = ONCE) => {
    await listKeys(parameters);
    if (where) document.getElementById("fresh-key").replaceChildren(secret("The new key", words, textOf(where)));
  };
  const replace = async (key) => {
    const { location: where } = await post(`/keys/${key.api_key}/regenerate`);
    const mine = await keyReplaced(textOf(where));
    await again(where, mine ? `${ONCE} It was the key of this page, which goes on with the new one.` : ONCE);
  };
  const rows = keys.map((key) => row([key.label, [what(key), key.private_access && h("div", { className: "soft" }, "private feeds too")], expiry(key.expires_at), h("div", { className: "row tight" },
    h("button", { type: "button", className: "quiet", onclick: () => change(key, again) }, "Change"),
    h("button", { type: "button", className: "quiet", onclick: () => sure(`Replace the text of “${key.label}”?`, "The new one may do the same. Whoever uses the old one is refused from then on.", "Replace", () => replace(key)) }, "Replace"),
    h("button", { type: "button", className: "danger", onclick: () => sure(`Delete “${key.label}”?`, "Whoever uses this key is refused from then on, this page too if you are signed in with it.", "Delete key", async () => { await remove(`/keys/${key.api_key}`); await again(); }) }, "Delete"))]));
  const feed = parameters.get("feed") ?? "";
  const make = form({ id: "new-key" }, async (data) => {
    const methods = METHODS.map(([name]) => name).filter((name) => data.get(name) === "on");
    if (!methods.length) throw new Error("Choose what the key may do.");
    const permission = { access_methods: methods };
    if (data.get("feed")) permission.resources = [{ feed_id: Number(data.get("feed")) }];
    if (data.get("source_ip").trim()) permission.source_ip = data.get("source_ip").trim();
    const key = { label: data.get("label"), private_access: data.get("private") === "on", permissions: [permission] };
    if (data.get("expires")) key.expires_at = new Date(data.get("expires")).toISOString();
    const { location: where } = await post("/keys", { key });
    await again(where);
  }, field("Label", h("input", { name: "label", required: true, maxLength: 255, placeholder: "such as the device that uses it", value: feed ? `device of feed ${feed}` : "" })),
  h("fieldset", {}, h("legend", {}, "It may"), METHODS.map(([name, verb], index) => check(verb, name, feed ? name === "put" || name === "get" : index === 0))),
  field("Only the feed with number", h("input", { name: "feed", inputMode: "numeric", pattern: "[0-9]*", value: feed, placeholder: "all feeds" })), field("Only from address or network", h("input", { name: "source_ip", placeholder: "from anywhere" })), expires(),
  check("private feeds too", "private"), h("button", {}, "Make key"));
  show(h("h1", {}, "Keys"), h("p", { className: "soft" }, "Devices and programs sign in with a key. Give each its own, which may do only what it needs; so one can be taken back without the others."), fresh,
    h("section", { className: "panel" }, h("h2", {}, "New key"), make),
    h("div", { className: "panel" }, table(["label", "may", "expires", ""], rows)));
}
