// The list of feeds, with their values as they come.

import { get } from "./api.js";
import { badges, tagLinks } from "./badges.js";
import { clock, field, flashed, form, h, select, show } from "./dom.js";
import { newFeedForm } from "./feed_forms.js";
import { firstSteps } from "./first.js";
import { listen } from "./live.js";
import { unwatch, watch } from "./near.js";
import { Sparks } from "./sparks.js";
import { creatorOf, whoAmI } from "./who.js";
import { count, measure, unitOf } from "./words.js";

const PER_PAGE = 30;
const SHOWN = 4;
const RENEWED = 20_000; // the socket tells of known feeds only
const RENEWED_EMPTY = 2000;

function card(feed) {
  const status = h("div", { className: "row soft" });
  const values = h("tbody");
  const more = h("p", { className: "soft" });
  const title = h("a", { href: `#/feeds/${feed.id}` });
  const element = h("article", { className: "panel card", "data-feed": feed.id }, h("h2", {}, title), status, h("table", {}, values), more);
  const sparks = new Sparks(feed.id);
  const load = () => sparks.load().catch(() => {}); // a list without its small lines is a list
  watch(element, (visible) => {
    if (!visible) return;
    unwatch(element);
    load();
  });
  let shown = [];
  const tell = (next) => {
    const streams = next.datastreams ?? [];
    title.textContent = next.title ?? `Feed ${next.id}`;
    status.replaceChildren(...badges(next), clock(next.updated), ...tagLinks(next.tags));
    const texts = streams.slice(0, SHOWN).map((stream) => stream.current_value ?? "–");
    values.replaceChildren(...streams.slice(0, SHOWN).map((stream, index) => {
      const [words, unit] = measure(texts[index], unitOf(stream));
      const line = h("tr", {}, h("th", { scope: "row" }, stream.id), h("td", {}, sparks.of(stream.id)), h("td", { title: texts[index] }, h("b", {}, words), ` ${unit}`));
      if (shown[index] !== undefined && shown[index] !== texts[index]) flashed(line);
      return line;
    }));
    for (const stream of streams.slice(0, SHOWN)) if (stream.datapoints?.length) sparks.add(stream.id, stream.datapoints);
    shown = texts;
    more.textContent = streams.length > SHOWN ? `and ${streams.length - SHOWN} more` : streams.length ? "" : "nothing in it yet";
  };
  tell(feed);
  return { element, tell, load };
}

export async function listFeeds(parameters) {
  const me = await whoAmI();
  const asked = Object.fromEntries(["q", "tag", "status", "user"].map((name) => [name, parameters.get(name) ?? ""]).filter(([, text]) => text));
  const page = Math.max(1, Number(parameters.get("page")) || 1);
  const cards = new Map();
  const listening = new Map();
  let total = null;
  let timer = null;
  let left = false;

  const whose = field("Whose", select("user", [["", "everybody's"], [me.login ?? "", "mine"]], asked.user ?? ""));
  const search = form({ role: "search" }, async (data) => {
    const wanted = Object.fromEntries([...data].map(([name, text]) => [name, text.trim()]).filter(([, text]) => text));
    location.hash = `#/?${new URLSearchParams(asked.tag ? { ...wanted, tag: asked.tag } : wanted)}`;
  }, field("Search titles, descriptions, tags and datastreams", h("input", { name: "q", type: "search", value: asked.q ?? "" })),
  whose, field("Written to", select("status", [["", "whenever"], ["live", "in the last 15 minutes"], ["frozen", "longer ago"]], asked.status ?? "")), h("button", {}, "Search"));
  const words = h("span", { className: "soft", id: "count", role: "status" });
  const without = asked.tag && h("a", { className: "badge", href: `#/?${new URLSearchParams(asked.q ? { q: asked.q } : {})}`, "aria-label": `All tags, not only ${asked.tag}` }, `tag: ${asked.tag} ×`);
  const grid = h("div", { className: "cards" });
  const pages = h("nav", { className: "row panel", "aria-label": "Pages" });
  const first = h("div");
  const make = h("details", { className: "panel" }, h("summary", {}, "New feed"), newFeedForm());
  const turn = (to, label) => h("a", { className: "button", href: `#/?${new URLSearchParams({ ...asked, page: to })}` }, label);

  async function renew() {
    const list = await get("/feeds.json", { ...asked, page, per_page: PER_PAGE });
    const changed = total !== Number(list.totalResults);
    total = Number(list.totalResults);
    const empty = total === 0 && Object.keys(asked).every((name) => name === "user");
    whose.hidden = me.login === null || (!asked.user && list.results.every((feed) => creatorOf(feed) === me.login));
    search.hidden = empty;
    words.textContent = empty ? "" : total === 0 ? (asked.q ? `Nothing is found for “${asked.q}”.` : "Nothing is found.") : count(total, "feed");
    if (empty && !first.children.length) first.append(firstSteps());
    if (!empty) first.replaceChildren();
    pages.hidden = total <= PER_PAGE && page === 1;
    pages.replaceChildren(...[page > 1 && turn(page - 1, "Newer"), h("span", { className: "soft" }, `page ${page} of ${Math.max(1, Math.ceil(total / PER_PAGE))}`), page * PER_PAGE < total && turn(page + 1, "Older")].filter(Boolean));
    // The latest come first, but nothing moves under somebody's eyes only because it was written to.
    if (changed) place(list.results);
    else list.results.forEach((feed) => cards.get(feed.id)?.tell(feed));
  }

  function place(feeds) {
    const ids = new Set(feeds.map((feed) => feed.id));
    for (const [id, { element }] of cards) {
      if (ids.has(id)) continue;
      element.remove();
      unwatch(element);
      cards.delete(id);
      listening.get(id)?.stop();
      listening.delete(id);
    }
    const settled = cards.size > 0;
    const fresh = feeds.filter((feed) => !cards.has(feed.id));
    for (const feed of feeds) cards.get(feed.id)?.tell(feed);
    for (const feed of settled ? fresh.reverse() : fresh) {
      const made = card(feed);
      cards.set(feed.id, made);
      if (settled) grid.prepend(made.element);
      else grid.append(made.element);
      listening.set(feed.id, listen(feed.id, { take: made.tell, back: () => {
        made.load();
        again();
      }, gone: again }));
    }
  }

  function again(wait = 300) {
    clearTimeout(timer);
    if (left) return;
    timer = setTimeout(() => (document.hidden ? again(1000) : renew().catch(() => {}).then(() => again(total ? RENEWED : RENEWED_EMPTY))), wait);
  }

  await renew();
  again(total ? RENEWED : RENEWED_EMPTY);
  show(h("div", { className: "row" }, h("h1", {}, "Feeds"), words, without), first, search, make, grid, pages);
  return { leave: () => {
    left = true;
    clearTimeout(timer);
    listening.forEach((one) => one.stop());
  } };
}
