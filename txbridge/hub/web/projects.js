// iobeam projects: what devices of that service belong to.

import { clock, field, form, h, row, show, table, toast } from "./dom.js";
import { iobeam, projectOf } from "./iobeam.js";

export const tokenField = () => field("Text of the token", h("textarea", { name: "token", required: true, rows: 3, spellcheck: false, placeholder: "eyJ…" }));

function newProject() {
  return form({ id: "new-project" }, async (data) => {
    const number = data.get("number") ? { project_id: Number(data.get("number")) } : {};
    const made = await iobeam("POST", "/projects", { body: { project_name: data.get("name"), ...number } });
    location.hash = `#/projects/${made.project_id}`;
  }, field("Name", h("input", { name: "name", required: true, maxLength: 255 })), field("Number", h("input", { name: "number", inputMode: "numeric", pattern: "[0-9]*", placeholder: "any, or the one that devices have" })), h("button", {}, "Make project"));
}

// What a device has burnt in says which project it is of; that one is made if it is not there.
function adopt(known) {
  return form({ id: "adopt" }, async (data) => {
    const token = data.get("token").trim();
    const number = projectOf(token) ?? (Number(data.get("number")) || null);
    if (number === null) throw new Error("The token does not say which project it is of: give its number.");
    if (!known.has(number)) await iobeam("POST", "/projects", { body: { project_name: `Project ${number}`, project_id: number } });
    await iobeam("POST", "/tokens/project", { body: { project_id: number, token } });
    toast("Devices with this token are let in.", true);
    location.hash = `#/projects/${number}`;
  }, tokenField(), field("Number of its project", h("input", { name: "number", inputMode: "numeric", pattern: "[0-9]*", placeholder: "usually the token says it" })), h("button", {}, "Adopt"));
}

export async function listProjects() {
  const { projects } = await iobeam("GET", "/projects");
  const rows = projects.map((project) => row([h("a", { href: `#/projects/${project.project_id}` }, project.project_name), String(project.project_id), clock(project.created)]));
  show(h("h1", {}, "Projects"), h("p", { className: "soft" }, "Devices that were made for iobeam belong to a project, and sign in with a token of it. Each device is a feed of yours, with a datastream for each of its series."),
    h("details", { className: "panel", open: !projects.length }, h("summary", {}, "New project"), newProject()),
    h("details", { className: "panel" }, h("summary", {}, "Let in a device that has its token burnt in"), h("p", { className: "soft" }, "Paste the token: the hub keeps its digest, and takes it from then on for as long as you let it, whatever it says of its own expiry."), adopt(new Set(projects.map((project) => project.project_id)))),
    rows.length ? h("div", { className: "panel" }, table(["project", "number", "made"], rows)) : h("p", {}, "There are no projects."));
}
