// One feed: its datastreams as they are written.

import { get } from "./api.js";
import { badges, tagLinks } from "./badges.js";
import { command } from "./copy.js";
import { clock, field, h, lazyDetails, show, toast } from "./dom.js";
import { feedSettings, newStreamForm } from "./feed_forms.js";
import { listen } from "./live.js";
import { streamPanel } from "./stream.js";
import { TimeBar, USUAL } from "./timebar.js";
import { creatorOf, mayChange, whoAmI } from "./who.js";
import { count } from "./words.js";

const SHOWN_EVERY = 100; // milliseconds
const MANY = 8; // datastreams from which on there is a search

// How many seconds ago the first point was written of those in the usual span; null if that is not known.
async function ageOfFirst(number) {
  const now = Date.now();
  const query = { start: new Date(now - USUAL * 1000).toISOString(), end: new Date(now).toISOString(), interval: 0, limit: 1 };
  const found = await get(`/feeds/${number}.json`, query).catch(() => null);
  const ages = (found?.datastreams ?? []).flatMap((stream) => stream.datapoints ?? []).map((point) => (now - Date.parse(point.at)) / 1000);
  return ages.length ? Math.max(...ages) : null;
}

export async function showFeed(number, parameters) {
  const panels = new Map();
  const me = whoAmI();
  let mine = true;
  let feed = null;
  const early = []; // writes that are not shown yet
  let due = null;
  const listening = listen(number, {
    take: (body) => {
      early.push(body);
      if (feed !== null) soon();
    },
    back: () => {
      note.replaceChildren();
      if (feed !== null) again();
    },
    gone: () => {
      if (feed === null) return; // then there was none, and reading it says so
      toast("This feed was deleted.", true);
      location.hash = "#/";
    },
    refused: (words) => note.replaceChildren(`Values do not arrive by themselves here: ${words}`),
  });
  const note = h("p", { className: "soft", role: "status" });
  const head = h("div", {});
  const streams = h("div", { id: "streams", className: "streams" });
  const none = h("div", { className: "panel" });
  const load = () => panels.forEach(({ chart }) => chart.load());
  let time = null;
  const filter = h("input", { type: "search", name: "filter", oninput: () => find() });
  const search = h("div", { className: "filter" }, field("Find a datastream", filter));
  const leave = () => {
    listening.stop();
    clearTimeout(due);
    panels.forEach((panel) => panel.close());
  };

  function find() {
    const wanted = filter.value.trim().toLowerCase();
    panels.forEach(({ element }, id) => (element.hidden = !id.toLowerCase().includes(wanted)));
  }

  // A feed that is written a hundred times a second is shown ten times.
  function soon() {
    due ??= setTimeout(() => {
      due = null;
      const bodies = early.splice(0);
      for (const body of bodies) for (const { id, datapoints } of body.datastreams ?? []) if (datapoints?.length) panels.get(id)?.chart.add(datapoints);
      if (!(bodies.at(-1).updated < feed.updated)) take(bodies.at(-1)); // it was read after that
    }, SHOWN_EVERY);
  }

  function take(body) {
    feed = { ...feed, ...body };
    for (const stream of body.datastreams ?? []) {
      const known = panels.get(stream.id);
      if (known === undefined) add(stream);
      else known.tell(stream);
    }
    for (const [id, panel] of panels) {
      if ((body.datastreams ?? []).some((stream) => stream.id === id)) continue;
      panel.close();
      panel.element.remove();
      panels.delete(id);
    }
    draw();
  }

  function add(stream) {
    const panel = streamPanel(number, stream, time, mine);
    panels.set(stream.id, panel);
    const after = [...streams.children].find((one) => one.getAttribute("aria-label") > stream.id);
    streams.insertBefore(panel.element, after ?? null);
  }

  function draw() {
    const place = [feed.location?.name, feed.location?.lat !== undefined && `${feed.location.lat}, ${feed.location.lon}`].filter(Boolean).join(" · ");
    head.replaceChildren(h("h1", {}, feed.title ?? `Feed ${number}`),
      h("div", { className: "row" }, ...badges(feed), h("span", { className: "soft" }, "updated ", clock(feed.updated)), h("span", { className: "soft" }, mine ? `feed ${number}` : `feed ${number} of ${creatorOf(feed)}`), h("span", { className: "soft" }, count(panels.size, "datastream")), ...tagLinks(feed.tags)),
      ...(feed.description ? [h("p", { className: "description" }, feed.description)] : []), h("p", { className: "soft" }, place, /^https?:/i.test(feed.website ?? "") && [place && " · ", h("a", { href: feed.website, rel: "noreferrer noopener", target: "_blank" }, feed.website)]));
    search.hidden = panels.size < MANY;
    none.hidden = panels.size > 0;
    time.element.hidden = panels.size === 0;
    if (!none.hidden && !none.children.length) none.append(h("h2", {}, "Nothing is in this feed yet"), ...(mine ? [ h("p", {}, "Send it a value from a terminal, and it shows up here at once:"), command("PUT", `/feeds/${number}.json`, { datastreams: [{ id: "temperature", current_value: "21.5" }] })] : []));
    document.title = `${feed.title ?? `Feed ${number}`} · txbridge hub`;
  }

  async function again() {
    try {
      take(await get(`/feeds/${number}.json`));
      load();
    } catch (error) {
      if (error.status !== 0) toast(error.message); // while the hub is away, the mark at the top says so
    }
  }

  try {
    await listening.ready;
    const [read, oldest] = await Promise.all([get(`/feeds/${number}.json`), [...parameters].length ? null : ageOfFirst(number)]);
    feed = read;
    mine = mayChange(feed, await me);
    time = new TimeBar(`/feeds/${number}`, parameters, load, oldest);
  } catch (error) {
    leave();
    throw error;
  }
  take(feed);
  if (early.length) soon();
  const changes = mine && [h("details", { className: "panel", open: panels.size === 0 }, h("summary", {}, "New datastream"), newStreamForm(number)),
    lazyDetails("Settings of the feed", () => feedSettings(feed, again), { className: "panel" }),
    lazyDetails("For a device", () => [h("p", {}, "Values of several datastreams at once; what is not there yet is made:"), command("PUT", `/feeds/${number}.json`, { datastreams: [{ id: "temperature", current_value: "21.5" }, { id: "humidity", current_value: "48" }] }),
      h("p", {}, h("a", { href: `#/keys?${new URLSearchParams({ feed: number })}` }, "Make a key"), " that can do nothing but write to this feed.")], { className: "panel" })];
  show(head, note, time.element, search, none, streams, changes);
  return { leave, move: (next) => time.move(next) };
}
