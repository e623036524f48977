// Products: what a manufacturer's devices are made as, so that each gets its feed and key when it is first switched on.

import { get, post } from "./api.js";
import { field, form, h, row, show, table } from "./dom.js";
import { count } from "./words.js";

export const names = (text) => text.split(/[\s,]+/).filter(Boolean);

export async function listProducts() {
  const { totalResults: total, products } = await get("/products.json", { per_page: 1000 });
  const make = form({ id: "new-product" }, async (data) => {
    const product = { name: data.get("name"), description: data.get("description"), feed_defaults: { datastreams: names(data.get("datastreams")).map((id) => ({ id })) } };
    const { location: where } = await post("/products", { product });
    location.hash = `#/products/${where.split("/").pop()}`;
  }, field("Name", h("input", { name: "name", required: true, maxLength: 255 })), field("Description", h("input", { name: "description" })),
  field("Datastreams that each device has", h("input", { name: "datastreams", placeholder: "such as temperature, humidity" })), h("button", {}, "Make product"));
  const rows = products.map((one) => row([h("a", { href: `#/products/${one.product_id}` }, one.name), one.description, one.state, count(one.devices_count, "device"), `${one.activated_devices_count} activated`]));
  show(h("h1", {}, "Products"), h("p", { className: "soft" }, "A product is a kind of device of which there are many. A device of it is known by its serial number before it is sold, and gets its feed and its key when it is first switched on."),
    h("details", { className: "panel", open: total === 0 }, h("summary", {}, "New product"), make),
    rows.length ? h("div", { className: "panel" }, table(["product", "description", "state", "has", "of them"], rows)) : h("p", {}, "There are no products."));
}
