// Texts to take away: commands, and secrets that are shown once.

import { commandSecrets } from "./api.js";
import { h, toast } from "./dom.js";

async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine there is no clipboard for pages, only this old way.
  const area = h("textarea", { value: text, className: "aside", readOnly: true });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
}

export function copyButton(words, text) {
  return h("button", { type: "button", className: "quiet copy", onclick: async (event) => {
    try {
      await copied(text);
      event.target.textContent = "Copied";
      setTimeout(() => (event.target.textContent = words), 2000);
    } catch {
      toast("The browser does not let the page copy; select the text and copy it.");
    }
  } }, words);
}

// What the hub tells this once.
export function secret(title, words, text) {
  const panel = h("section", { className: "panel secret-panel", role: "alert", tabIndex: -1 }, h("h2", {}, title), h("p", {}, words),
    h("div", { className: "row" }, h("code", { className: "secret grow" }, text), copyButton("Copy", text)));
  queueMicrotask(() => panel.focus());
  return panel;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A command that works as it is; the key in it can be copied and not be read over somebody's shoulder.
export function command(method, path, body) {
  const { words, masked } = commandSecrets();
  const line = (secrets) => `curl -X ${method} ${location.origin}/v2${path} ${secrets} -d ${quoted(JSON.stringify(body))}`;
  return h("div", { className: "command" }, h("pre", { tabIndex: 0, "aria-label": "Command" }, h("code", {}, line(masked))), copyButton(words === masked ? "Copy" : "Copy with the key", line(words)));
}
