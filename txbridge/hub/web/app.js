// Which view belongs to which address; the address is the part after the #.

import { listAccounts } from "./accounts.js";
import { signOut, signedIn } from "./api.js";
import { blame, h, show } from "./dom.js";
import { showFeed } from "./feed.js";
import { listFeeds } from "./feeds.js";
import { forgetLogin } from "./iobeam.js";
import { listKeys } from "./keys.js";
import * as live from "./live.js";
import { mapOfFeeds } from "./map.js";
import { showProduct } from "./product.js";
import { listProducts } from "./products.js";
import { showProject } from "./project.js";
import { listProjects } from "./projects.js";
import { showRelay } from "./relay.js";
import { signInView } from "./sign_in.js";
import { listTriggers } from "./triggers.js";
import { forgetWho, whoAmI } from "./who.js";

// A view draws itself and gives {leave, move}: what ends it, and what takes other parameters without beginning anew.
const ROUTES = [
  [/^\/$/, (match, parameters) => listFeeds(parameters)],
  [/^\/map$/, () => mapOfFeeds()],
  [/^\/feeds\/(\d{1,18})$/, (match, parameters) => showFeed(match[1], parameters)],
  [/^\/keys$/, (match, parameters) => listKeys(parameters)],
  [/^\/triggers$/, (match, parameters) => listTriggers(parameters)],
  [/^\/projects$/, () => listProjects()],
  [/^\/projects\/(\d{1,18})$/, (match) => showProject(match[1])],
  [/^\/products$/, () => listProducts()],
  [/^\/products\/([\w-]{1,64})$/, (match, parameters) => showProduct(match[1], parameters)],
  [/^\/accounts$/, () => listAccounts()],
  [/^\/relay$/, (match, parameters) => showRelay(parameters)],
];
const EXPIRED = "The hub does not know this key any more: it was deleted, replaced, or has expired. Sign in again, and you are back where you were.";

const view = document.getElementById("view");
let shown = null; // {path, leave, move}
let turn = 0;
let drawing = Promise.resolve(); // views draw one after another: an answer that is late must not draw over a newer view

function close() {
  shown?.leave?.();
  shown = null;
}

function frame(inside) {
  document.getElementById("nav").hidden = !inside;
  document.getElementById("leave").hidden = !inside;
  if (inside) live.start();
  else live.stop();
}

// Links to what the key cannot open are not shown; the hub refuses it in any case.
async function links() {
  const me = await whoAmI().catch(() => ({ login: null, owner: false }));
  document.getElementById("leave").title = me.login === null ? "Signed in with a limited key" : `Signed in as ${me.login}`;
  for (const link of document.querySelectorAll("nav [data-needs]")) link.hidden = link.dataset.needs === "owner" ? !me.owner : me.login === null;
}

function enter(words) {
  const mine = ++turn;
  const next = () => (mine === turn ? signIn(words) : null);
  drawing = drawing.then(next, next);
}

function signIn(words) {
  close();
  forgetWho();
  forgetLogin();
  frame(false);
  document.title = "Sign in · txbridge hub";
  signInView(go, typeof words === "string" ? words : null);
}

function go() {
  const mine = ++turn;
  const next = () => (mine === turn ? draw(mine) : null);
  drawing = drawing.then(next, next);
  return drawing;
}

async function draw(mine) {
  if (!signedIn()) return enter();
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  const parameters = new URLSearchParams(query);
  if (shown?.path === path && shown.move) return shown.move(parameters);
  document.getElementById("toasts").replaceChildren();
  const again = shown?.path === path;
  close();
  frame(true);
  links();
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href").slice(1);
    if (own === path || (own !== "/" && path.startsWith(`${own}/`))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [pattern, make] = ROUTES.find(([known]) => known.test(path)) ?? [];
  view.setAttribute("aria-busy", "true");
  try {
    const made = pattern ? await make(path.match(pattern), parameters) : show(h("h1", {}, "There is no such page"), h("a", { href: "#/" }, "All feeds"));
    if (mine !== turn) return made?.leave?.();
    shown = { path, leave: made?.leave, move: made?.move };
  } catch (error) {
    blame(error);
    if (mine !== turn || error.status === 401) return; // a key that has expired is told to `enter`
    const words = error.status === 403 ? "The key may not see this." : error.status === 404 ? "There is no such thing, or the key may not see it." : error.message;
    show(h("div", { className: "panel" }, h("h1", {}, "Nothing to see"), h("p", {}, words), h("button", { type: "button", onclick: go }, "Try again")));
  } finally {
    if (mine === turn) view.removeAttribute("aria-busy");
  }
  const title = view.querySelector("h1")?.textContent;
  document.title = `${title ? `${title} · ` : ""}txbridge hub`;
  if (!again && mine > 1) {
    scrollTo(0, 0);
    view.focus({ preventScroll: true });
  }
}

document.getElementById("leave").addEventListener("click", () => {
  signOut();
  location.hash = "#/";
  enter();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be taken for a view
  view.focus();
});
document.addEventListener("expired", () => enter(EXPIRED));
addEventListener("hashchange", go);
go();
