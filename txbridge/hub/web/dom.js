// Elements, forms and messages.  Text of others only ever becomes a text node.

import { ago, instant } from "./words.js";

const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function show(...children) {
  const view = document.getElementById("view");
  view.replaceChildren(...present(children));
  return view;
}

// Marks what has just changed.  An animation of a script needs no layout to begin anew, as one of a style does.
export function flashed(element) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  element.getAnimations().forEach((one) => one.cancel());
  element.animate([{ background: "var(--mark)" }, { background: "transparent" }], { duration: 1200, easing: "ease-out" });
}

export function toast(words, fine = false) {
  const box = h("div", { className: fine ? "toast fine" : "toast" }, words);
  document.getElementById(fine ? "news" : "toasts").append(box);
  setTimeout(() => box.remove(), fine ? 4000 : 9000);
}

// Does something and says what went wrong.
export async function attempt(work) {
  try {
    await work();
  } catch (error) {
    blame(error);
    toast(error.message);
  }
}

// A refusal of the hub, or words of ours, are plain errors; anything else is a mistake in the page.
export function blame(error) {
  if (error.name !== "Error") console.error(error);
}

export function clock(at, none = "never") {
  return at ? h("time", { dateTime: at, title: instant(at), className: "ago" }, ago(at)) : h("span", {}, none);
}

// When a key or a token ends.
export function expiry(at, none = "never") {
  if (!at) return none;
  return Date.parse(at) < Date.now() ? h("span", { className: "badge expired" }, "expired ", clock(at)) : clock(at);
}

setInterval(() => {
  for (const element of document.querySelectorAll("time.ago")) {
    const words = ago(element.dateTime);
    if (element.textContent !== words) element.textContent = words;
  }
}, 1000);

export function field(label, input, hint) {
  return h("label", {}, h("span", { className: "label" }, label), input, hint && h("small", {}, hint));
}

export function check(label, name, checked = false) {
  return h("label", { className: "check" }, h("input", { type: "checkbox", name, checked }), label);
}

export function select(name, options, chosen) {
  return h("select", { name }, options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
}

// A form whose buttons wait while its work runs, and which tells what went wrong.
export function form(properties, work, ...children) {
  const element = h("form", { className: "fields", ...properties }, ...children);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = [...element.querySelectorAll("button")].filter((button) => !button.disabled);
    buttons.forEach((button) => (button.disabled = true));
    await attempt(() => work(new FormData(element), element));
    buttons.forEach((button) => (button.disabled = false));
  });
  return element;
}

export function button(words, work, properties = {}) {
  const element = h("button", { type: "button", className: "quiet", ...properties }, words);
  element.addEventListener("click", async () => {
    element.disabled = true;
    await attempt(work);
    element.disabled = false;
  });
  return element;
}

// A table that becomes a list of cards where there is no room for columns.
export function table(heads, rows, properties = {}) {
  for (const row of rows) if (row.children.length === heads.length) [...row.children].forEach((cell, index) => heads[index] && cell.setAttribute("data-label", heads[index]));
  return h("table", { className: "stack", ...properties }, h("thead", {}, h("tr", {}, heads.map((words) => h("th", { scope: "col" }, words)))), h("tbody", {}, rows));
}

export function row(cells, properties = {}) {
  return h("tr", properties, cells.map((cell) => h("td", {}, Array.isArray(cell) ? h("div", {}, cell) : cell)));
}

// Details whose content is made when they are opened for the first time.
export function lazyDetails(words, make, properties = {}) {
  const details = h("details", properties, h("summary", {}, words));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...present([make()]));
  });
  return details;
}
