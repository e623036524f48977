// Which view belongs to which address; the address is the part after the #.

import { listKeys, listTriggers, signInView } from "./account.js";
import { signOut, signedIn } from "./api.js";
import { h, show } from "./dom.js";
import { listFeeds, mapOfFeeds, showFeed } from "./feeds.js";
import { showRelay } from "./relay.js";

const ROUTES = [
  [/^\/$/, (match, parameters) => listFeeds(parameters)],
  [/^\/map$/, () => mapOfFeeds()],
  [/^\/feeds\/(\d{1,18})$/, (match) => showFeed(match[1])],
  [/^\/keys$/, () => listKeys()],
  [/^\/triggers$/, () => listTriggers()],
  [/^\/relay$/, (match, parameters) => showRelay(parameters)],
];

let leave = null;
let turn = 0;

async function go() {
  const mine = ++turn;
  leave?.();
  leave = null;
  const inside = signedIn();
  document.getElementById("nav").hidden = !inside;
  document.getElementById("leave").hidden = !inside;
  if (!inside) return signInView(go);
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${path}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [pattern, view] = ROUTES.find(([known]) => known.test(path)) ?? [];
  if (!view) return show(h("p", {}, "There is no such page. ", h("a", { href: "#/" }, "All feeds")));
  document.getElementById("view").setAttribute("aria-busy", "true");
  try {
    const stop = await view(path.match(pattern), new URLSearchParams(query));
    if (mine === turn) leave = stop ?? null;
    else stop?.();
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401) {
      signOut();
      return go();
    }
    const words = error.status === 403 ? "The key may not see this." : error.status === 404 ? "There is no such thing, or the key may not see it." : error.message;
    show(h("div", { className: "panel" }, h("p", {}, words), h("button", { type: "button", onclick: go }, "Try again")));
  } finally {
    document.getElementById("view").removeAttribute("aria-busy");
  }
}

document.getElementById("leave").addEventListener("click", () => {
  signOut();
  location.hash = "#/";
  go();
});
addEventListener("hashchange", go);
go();
