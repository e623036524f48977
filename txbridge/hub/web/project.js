// One iobeam project: its devices, and the tokens that open it.

import { secret } from "./copy.js";
import { sure } from "./dialog.js";
import { check, clock, expiry, field, form, h, row, select, show, table, toast } from "./dom.js";
import { devices, iobeam } from "./iobeam.js";
import { tokenField } from "./projects.js";

const LASTS = [["90d", "90 days"], ["1d", "a day"], ["30d", "30 days"], ["365d", "a year"], ["36500d", "a hundred years"]];
const ONCE = "It is shown this once: the hub keeps only its digest. Devices send it as “Authorization: Bearer …”.";

const rights = (token) => ["read", "write", "admin"].filter((name) => token[name]).join(", ") + (token.refreshable ? "" : " · cannot be refreshed") + (token.device_id ? ` · ${token.device_id} only` : "");

function tokens(list, again) {
  const rows = list.map((token) => row([`token ${token.token_id}`, rights(token), clock(token.created), expiry(token.expires, "never (adopted)"),
    h("button", { type: "button", className: "danger", onclick: () => sure(`Revoke token ${token.token_id}?`, "Whoever uses it, or one that was refreshed from it, is refused from then on.", "Revoke", async () => { await iobeam("DELETE", `/tokens/${token.token_id}`); await again(); }) }, "Revoke")], { "data-token": token.token_id }));
  return rows.length ? table(["token", "may", "made", "expires", ""], rows) : h("p", {}, "There are no tokens: make one for your devices, or adopt the one they have.");
}

function newToken(number, known, made) {
  return form({ id: "new-token" }, async (data) => {
    const query = { project_id: number, duration: data.get("duration"), device_id: data.get("device") };
    for (const name of ["read", "write", "admin", "refreshable"]) query[name] = String(data.get(name) === "on");
    await made((await iobeam("GET", "/tokens/project", { query })).token);
  }, h("fieldset", {}, h("legend", {}, "It may"), check("read", "read", true), check("write", "write", true), check("manage devices", "admin"), check("be refreshed", "refreshable", true)),
  field("Lasts", select("duration", LASTS, "90d")), field("Device", select("device", [["", "all of the project"], ...known.map((one) => [one.device_id, one.device_name ?? one.device_id])], "")), h("button", {}, "Make token"));
}

export async function showProject(number) {
  const project = await iobeam("GET", `/projects/${number}`);
  const [{ tokens: list }, known] = await Promise.all([iobeam("GET", "/tokens", { query: { project_id: number } }), devices(number)]);
  const fresh = h("div", { id: "fresh-token" });
  const again = async (text) => {
    await showProject(number);
    if (text) document.getElementById("fresh-token").replaceChildren(secret("The new token", ONCE, text));
  };
  const adopt = form({ id: "adopt" }, async (data) => {
    await iobeam("POST", "/tokens/project", { body: { project_id: Number(number), token: data.get("token").trim() } });
    await again();
    toast("Devices with this token are let in.", true);
  }, tokenField(), h("button", {}, "Adopt"));
  const rows = known.map((one) => row([one.feed_id ? h("a", { href: `#/feeds/${one.feed_id}` }, one.device_name ?? one.device_id) : one.device_name ?? one.device_id, one.device_id, one.device_type ?? "", clock(one.created),
    h("button", { type: "button", className: "danger", onclick: () => sure(`Delete ${one.device_name ?? one.device_id}?`, "The device is deleted with its feed and its whole history. This cannot be undone.", "Delete device", async () => {
      await iobeam("DELETE", `/devices/${encodeURIComponent(one.device_id)}`, { query: { project_id: number } });
      await again();
    }) }, "Delete")]));
  show(h("h1", {}, project.project_name), h("p", { className: "soft" }, `Project ${number}, made `, clock(project.created)), fresh,
    h("section", { className: "panel" }, h("h2", {}, "Devices"), rows.length ? table(["device", "id", "type", "made", ""], rows) : h("p", {}, "None has registered yet. Devices do that by themselves when they have a token and this hub's address.")),
    h("section", { className: "panel" }, h("h2", {}, "Tokens"), tokens(list, again)),
    h("details", { className: "panel", open: !list.length }, h("summary", {}, "New token"), newToken(number, known, again)),
    h("details", { className: "panel" }, h("summary", {}, "Adopt the token that a device has burnt in"), adopt),
    h("button", { type: "button", className: "danger", onclick: () => sure(`Delete “${project.project_name}”?`, "Its tokens open nothing any more, and its devices are forgotten; their feeds stay, with their history.", "Delete project", async () => {
      await iobeam("DELETE", `/projects/${number}`);
      location.hash = "#/projects";
    }) }, "Delete project"));
}
