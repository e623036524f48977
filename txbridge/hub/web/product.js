// One product, and its devices.

import { get, post, put, remove } from "./api.js";
import { copyButton } from "./copy.js";
import { sure } from "./dialog.js";
import { clock, field, form, h, row, select, show, table, toast } from "./dom.js";
import { names } from "./products.js";
import { count } from "./words.js";

const PER_PAGE = 100;

function settings(product, path, again) {
  return form({ id: "product-settings" }, async (data) => {
    await put(path, { product: { name: data.get("name"), description: data.get("description"), state: data.get("state") } });
    toast("Saved.", true);
    await again();
  }, field("Name", h("input", { name: "name", required: true, maxLength: 255, value: product.name })), field("Description", h("input", { name: "description", value: product.description })),
  field("State", select("state", [["develop", "develop"], ["deploy", "deploy"]], product.state)), h("button", {}, "Save"),
  h("button", { type: "button", className: "danger", onclick: () => sure(`Delete “${product.name}”?`, "The product is deleted with its devices and their keys: they cannot write any more. Their feeds stay.", "Delete product", async () => {
    await remove(path);
    location.hash = "#/products";
  }) }, "Delete product"));
}

export async function showProduct(id, parameters) {
  const path = `/products/${id}`;
  const page = Math.max(1, Number(parameters.get("page")) || 1);
  const again = () => showProduct(id, parameters);
  const [{ product }, { totalResults: total, devices }] = await Promise.all([get(`${path}.json`), get(`${path}/devices.json`, { page, per_page: PER_PAGE })]);
  const add = form({ id: "new-devices" }, async (data) => {
    const serials = names(data.get("serials"));
    await post(`${path}/devices`, { devices: serials.map((serial) => ({ serial })) });
    await again();
    toast(`${count(serials.length, "device")} added.`, true);
  }, field("Serial numbers, each in a line of its own", h("textarea", { name: "serials", rows: 4, required: true, spellcheck: false })), h("button", {}, "Add devices"));
  const rows = devices.map((one) => row([one.serial, one.activated_at ? clock(one.activated_at) : "not yet", one.feed_id === undefined ? "" : h("a", { href: `#/feeds/${one.feed_id}` }, `feed ${one.feed_id}`), h("code", {}, one.activation_code),
    h("button", { type: "button", className: "danger", onclick: () => sure(`Delete ${one.serial}?`, "The device is deleted with its key: it cannot write any more. Its feed stays.", "Delete device", async () => { await remove(`${path}/devices/${encodeURIComponent(one.serial)}`); await again(); }) }, "Delete")]));
  const turn = (to, words) => h("a", { className: "button", href: `#${path}?page=${to}` }, words);
  show(h("h1", {}, product.name), product.description && h("p", { className: "description" }, product.description),
    h("p", { className: "soft" }, `${count(product.devices_count, "device")}, ${product.activated_devices_count} activated`),
    h("section", { className: "panel" }, h("h2", {}, "Devices"), rows.length ? table(["serial", "activated", "feed", "activation code", ""], rows) : h("p", {}, "There are none yet.")),
    total > PER_PAGE && h("nav", { className: "row panel", "aria-label": "Pages" }, page > 1 && turn(page - 1, "Before"), h("span", { className: "soft" }, `page ${page} of ${Math.ceil(total / PER_PAGE)}`), page * PER_PAGE < total && turn(page + 1, "After")),
    h("details", { className: "panel", open: total === 0 }, h("summary", {}, "Add devices"), add),
    h("details", { className: "panel" }, h("summary", {}, "The secret of the product"), h("p", { className: "soft" }, "Devices make their activation code with it: the HMAC-SHA1 of their serial number."), h("div", { className: "row" }, h("code", { className: "secret grow" }, product.secret), copyButton("Copy", product.secret))),
    h("details", { className: "panel" }, h("summary", {}, "Settings of the product"), settings(product, path, again)));
}
