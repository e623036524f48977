// Whether a feed is written to, and who may see it.

import { h } from "./dom.js";

const LIVE = 15 * 60_000;

function isPrivate(feed) {
  return String(feed.private) === "true";
}

// A feed that was live falls silent while somebody looks, so the badge is renewed with the ages.
function status(badge) {
  const live = badge.dataset.written === "yes" && Date.now() - Date.parse(badge.dataset.updated) < LIVE;
  badge.className = live ? "badge live-feed" : "badge";
  badge.textContent = live ? "live" : "frozen";
}

setInterval(() => document.querySelectorAll(".badge[data-updated]").forEach(status), 5000);

export function badges(feed) {
  const live = h("span", { title: "live: written within the last 15 minutes" });
  live.dataset.updated = feed.updated ?? "";
  live.dataset.written = feed.status === "live" ? "yes" : "no";
  status(live);
  return [live, isPrivate(feed) && h("span", { className: "badge private", title: "only keys that may see private feeds" }, "private")].filter(Boolean);
}

export function tagLinks(tags) {
  return (tags ?? []).map((tag) => h("a", { className: "badge", href: `#/?${new URLSearchParams({ tag })}` }, tag));
}
