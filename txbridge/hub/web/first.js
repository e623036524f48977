// What somebody sees whose hub is empty: one command that puts a value into it.

import { command } from "./copy.js";
import { h } from "./dom.js";

export function firstSteps() {
  return h("section", { className: "panel first", id: "first-steps" }, h("h2", {}, "There are no feeds yet"),
    h("p", {}, "A feed is a device or a place, and it has datastreams, such as a temperature. Paste this into a terminal to make one with its first value; it shows up here by itself:"),
    command("POST", "/feeds.json", { title: "My first feed", datastreams: [{ id: "temperature", current_value: "21.5", unit: { symbol: "C", label: "Celsius" } }] }),
    h("p", { className: "soft" }, "Old devices send what they always sent, to this address with a key of this hub. Keys that can do less than yours are made under ", h("a", { href: "#/keys" }, "Keys"), "."));
}
