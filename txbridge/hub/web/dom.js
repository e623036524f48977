// Elements, words and messages.  Text of others only ever becomes a text node.

const present = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false);

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

export function show(...children) {
  const view = document.getElementById("view");
  view.replaceChildren(...present(children));
  return view;
}

export function toast(words, fine = false) {
  const box = h("div", { className: fine ? "toast fine" : "toast" }, words);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), fine ? 4000 : 9000);
}

export function ago(at) {
  if (!at) return "never";
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 2) return "just now";
  if (seconds < 0) return `in the future (${new Date(at).toLocaleString()})`;
  for (const [size, word] of [[86400 * 365, "year"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${count} ${word}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

export function clock(at) {
  return h("time", { dateTime: at ?? "", title: at ? new Date(at).toLocaleString() : "", className: "ago" }, ago(at));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time.ago")) element.textContent = ago(element.dateTime);
}, 1000);

export function field(label, input) {
  return h("label", {}, label, input);
}

// A form whose button waits while its work runs, and which tells what went wrong.
export function form(properties, work, ...children) {
  const element = h("form", { className: "fields", ...properties }, ...children);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = element.querySelectorAll("button");
    buttons.forEach((button) => (button.disabled = true));
    try {
      await work(new FormData(element), element);
    } catch (error) {
      toast(error.message);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  });
  return element;
}

// What cannot be undone asks twice: the button itself becomes the question.
export function sureButton(words, work) {
  const button = h("button", { type: "button", className: "danger" }, words);
  let timer = null;
  button.addEventListener("click", async () => {
    if (timer === null) {
      button.textContent = "Really?";
      timer = setTimeout(() => { timer = null; button.textContent = words; }, 3000);
      return;
    }
    clearTimeout(timer);
    timer = null;
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      toast(error.message);
    }
    button.disabled = false;
    button.textContent = words;
  });
  return button;
}
