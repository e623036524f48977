// Which time the charts of a feed show.  It stands in the address, so that it can be kept, shared and gone back from.

import { button, field, form, h, toast } from "./dom.js";
import { LONGEST } from "./history.js";
import { instant, localInput, zone } from "./words.js";

const SPANS = [["10 min", 600], ["1 h", 3600], ["6 h", 6 * 3600], ["1 day", 86400], ["7 days", 7 * 86400], ["30 days", 30 * 86400], ["1 year", 365 * 86400]];
export const USUAL = 6 * 3600;
const ROOM = 1.2;
const SHORTEST = 5;

export class TimeBar {
  // changed() is called when the charts must show another time.
  // oldest is the age of what came first lately, in seconds: what has just begun is not shown as a stroke at the edge.
  constructor(path, parameters, changed, oldest) {
    const fit = SPANS.map(([, seconds]) => seconds).find((seconds) => seconds >= oldest * ROOM);
    this.usual = oldest === null ? USUAL : Math.min(USUAL, fit);
    this.path = path;
    this.changed = changed;
    this.spans = SPANS.map(([words, seconds]) => h("button", { type: "button", className: "quiet", onclick: () => this.follow(seconds) }, words));
    this.now = button("Back to now", () => this.follow(this.span));
    this.later = button("›", () => this.shift(0.5), { "aria-label": "Later", title: "Later" });
    this.shown = h("span", { className: "soft" });
    this.dates = form({ className: "fields dates" }, async (data) => this.zoom(Date.parse(data.get("from")) / 1000, Date.parse(data.get("to")) / 1000),
      field("From", h("input", { type: "datetime-local", name: "from", required: true })), field("to", h("input", { type: "datetime-local", name: "to", required: true })), h("button", {}, "Show"));
    this.element = h("section", { className: "panel timebar", "aria-label": "Time that the charts show" },
      h("div", { className: "row" }, h("div", { className: "row tight", role: "group", "aria-label": "Show the last" }, this.spans),
        h("div", { className: "row tight", role: "group", "aria-label": "Move" },
          button("‹", () => this.shift(-0.5), { "aria-label": "Earlier", title: "Earlier" }), this.later,
          button("−", () => this.wider(), { "aria-label": "Zoom out", title: "Zoom out" }), button("+", () => this.scale(0.5), { "aria-label": "Zoom in", title: "Zoom in" }), this.now)),
      h("details", {}, h("summary", {}, this.shown, h("span", { className: "soft" }, " · choose another time")), this.dates, h("p", { className: "soft" }, "Dragging over a chart zooms in, a double click zooms out.")));
    this.read(parameters);
  }

  get following() {
    return this.window === null;
  }

  // [start, end] in seconds.
  range() {
    const now = Date.now() / 1000;
    return this.window ?? [now - this.span, now];
  }

  read(parameters) {
    const [from, to, span] = ["from", "to", "span"].map((name) => Number(parameters.get(name)));
    this.window = from > 0 && to > from ? [from, to] : null;
    this.span = span >= SHORTEST && span <= LONGEST ? span : this.usual;
    const known = SPANS.find(([, seconds]) => seconds === this.span);
    this.spans.forEach((one, index) => one.setAttribute("aria-pressed", String(this.following && SPANS[index][1] === this.span)));
    this.now.disabled = this.later.disabled = this.following;
    const [start, end] = this.range();
    this.shown.textContent = this.following ? `the last ${known?.[0] ?? `${Math.round(this.span)} s`} · ${zone()}` : `${instant(start * 1000)} – ${instant(end * 1000)} · ${zone()}`;
    this.dates.elements.from.value = localInput(start);
    this.dates.elements.to.value = localInput(end);
  }

  move(parameters) {
    this.read(parameters);
    this.changed();
  }

  go(query) {
    location.hash = `#${this.path}?${new URLSearchParams(query)}`;
  }

  follow(span) {
    this.go({ span });
  }

  zoom(from, to) {
    if (!(to - from >= SHORTEST)) return toast("That is too short a time to show.");
    const start = Math.max(from, to - LONGEST);
    this.go({ from: start.toFixed(0), to: Math.max(to, start + SHORTEST).toFixed(0), span: this.span });
  }

  scale(by) {
    const [start, end] = this.range();
    const half = Math.min(LONGEST, Math.max(SHORTEST, (end - start) * by)) / 2;
    const middle = (start + end) / 2;
    if (this.following) return this.follow(Math.round(half * 2));
    this.zoom(middle - half, middle + half);
  }

  wider() {
    this.scale(2);
  }

  shift(by) {
    const [start, end] = this.range();
    const way = (end - start) * by;
    if (end + way >= Date.now() / 1000) return this.follow(Math.round(end - start));
    this.zoom(start + way, end + way);
  }

  // A window of the present length around an instant.
  look(at) {
    this.zoom(at - this.span * 0.9, at + this.span * 0.1);
  }
}
