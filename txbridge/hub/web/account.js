// Signing in, keys, and triggers.

import { ask, get, post, remove, signIn } from "./api.js";
import { clock, field, form, h, show, sureButton, toast } from "./dom.js";

const METHODS = [["get", "read"], ["put", "update"], ["post", "create"], ["delete", "delete"]];
const TYPES = [["gt", "rises above"], ["gte", "reaches from below"], ["lt", "falls below"], ["lte", "reaches from above"], ["eq", "equals"], ["change", "changes"], ["frozen", "falls silent"], ["live", "comes back"]];

export function signInView(done) {
  show(h("section", { className: "panel sign-in" }, h("h1", {}, "Sign in"),
    h("p", { className: "soft" }, "With an API key, or with the name and password of an account. The first start of the hub wrote the owner's key into the file owner.key in its data directory."),
    form({ id: "sign-in" }, async (data) => {
      const given = data.get("key").trim() ? { key: data.get("key").trim() } : { login: data.get("login").trim(), password: data.get("password") };
      if (!given.key && !given.login) throw new Error("Give a key, or a name and a password.");
      try {
        await ask("GET", "/feeds.json", { query: { per_page: 1 }, given });
      } catch (error) {
        if (error.status === 401) throw new Error("The hub does not know this key or password.");
        if (error.status !== 403) throw error;
      }
      signIn(given, data.get("remember") === "on");
      done();
    }, field("API key", h("input", { name: "key", type: "password", autocomplete: "off", spellcheck: false })),
    field("or: name", h("input", { name: "login", autocomplete: "username" })), field("password", h("input", { name: "password", type: "password", autocomplete: "current-password" })),
    h("label", { className: "check" }, h("input", { type: "checkbox", name: "remember" }), "remember on this device"), h("button", {}, "Sign in"))));
}

function what(key) {
  return (key.permissions ?? []).map((permission) => {
    const words = [(permission.access_methods ?? []).map((method) => METHODS.find(([name]) => name === method)?.[1] ?? method).join(", ")];
    for (const resource of permission.resources ?? []) words.push(`feed ${resource.feed_id ?? "?"}${resource.datastream_id ? ` / ${resource.datastream_id}` : ""}`);
    if (permission.source_ip) words.push(`from ${permission.source_ip}`);
    if (permission.referer) words.push(`on ${permission.referer}`);
    if (permission.minimum_interval) words.push(`each ${permission.minimum_interval} s at the finest`);
    return h("div", {}, words.join(" · "));
  });
}

export async function listKeys() {
  const { keys } = await get("/keys.json");
  const fresh = h("div", { id: "fresh-key" });
  const tell = (where) => fresh.replaceChildren(h("div", { className: "panel" }, h("p", {}, "This is the new key. It is shown this once; the hub keeps only its digest."), h("code", { className: "secret" }, where.split("/").pop())));
  const rows = keys.map((key) => h("tr", {}, h("td", {}, key.label), h("td", {}, what(key), key.private_access && h("div", { className: "soft" }, "private feeds too")),
    h("td", {}, key.expires_at ? clock(key.expires_at) : "never"), h("td", {}, h("div", { className: "row" },
      sureButton("New text", async () => { const { location: where } = await post(`/keys/${key.api_key}/regenerate`); tell(where); }),
      sureButton("Delete", async () => { await remove(`/keys/${key.api_key}`); await listKeys(); })))));
  const make = form({ id: "new-key" }, async (data) => {
    const methods = METHODS.map(([name]) => name).filter((name) => data.get(name) === "on");
    if (!methods.length) throw new Error("Choose what the key may do.");
    const permission = { access_methods: methods };
    if (data.get("feed")) permission.resources = [{ feed_id: Number(data.get("feed")) }];
    if (data.get("source_ip").trim()) permission.source_ip = data.get("source_ip").trim();
    const key = { label: data.get("label"), private_access: data.get("private") === "on", permissions: [permission] };
    if (data.get("expires")) key.expires_at = new Date(data.get("expires")).toISOString();
    const { location: where } = await post("/keys", { key });
    await listKeys();
    document.getElementById("fresh-key").replaceWith(fresh);
    tell(where);
  }, field("Label", h("input", { name: "label", required: true, maxLength: 255 })),
  h("fieldset", {}, h("legend", { className: "soft" }, "may"), METHODS.map(([name, words], index) => h("label", { className: "check" }, h("input", { type: "checkbox", name, checked: index === 0 }), words))),
  field("Only feed number", h("input", { name: "feed", inputMode: "numeric", pattern: "[0-9]*" })), field("Only from address or network", h("input", { name: "source_ip" })), field("Expires", h("input", { name: "expires", type: "datetime-local" })),
  h("label", { className: "check" }, h("input", { type: "checkbox", name: "private" }), "private feeds too"), h("button", {}, "Make key"));
  show(h("h1", {}, "Keys"), fresh, h("div", { className: "panel scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["label", "may", "expires", ""].map((words) => h("th", {}, words)))), h("tbody", {}, rows))),
    h("section", { className: "panel" }, h("h2", {}, "New key"), make));
}

export async function listTriggers() {
  const triggers = await get("/triggers.json");
  const rows = triggers.map((trigger) => h("tr", { "data-trigger": trigger.id },
    h("td", {}, h("a", { href: `#/feeds/${trigger.environment_id}` }, `feed ${trigger.environment_id}`), ` / ${trigger.stream_id}`),
    h("td", {}, `${TYPES.find(([name]) => name === trigger.trigger_type)?.[1] ?? trigger.trigger_type} ${trigger.threshold_value ?? ""}`), h("td", {}, trigger.url),
    h("td", {}, trigger.notified_at ? clock(trigger.notified_at) : "never"),
    h("td", {}, sureButton("Delete", async () => { await remove(`/triggers/${trigger.id}`); await listTriggers(); }))));
  const make = form({ id: "new-trigger" }, async (data) => {
    const trigger = { environment_id: Number(data.get("feed")), stream_id: data.get("stream"), trigger_type: data.get("type"), url: data.get("url") };
    if (data.get("threshold") !== "") trigger.threshold_value = data.get("threshold");
    await post("/triggers", trigger);
    toast("The trigger is set.", true);
    await listTriggers();
  }, field("Feed number", h("input", { name: "feed", required: true, inputMode: "numeric", pattern: "[0-9]+" })), field("Datastream", h("input", { name: "stream", required: true })),
  field("fires when the value", h("select", { name: "type" }, TYPES.map(([name, words]) => h("option", { value: name }, words)))), field("this value", h("input", { name: "threshold" })),
  field("URL to call", h("input", { name: "url", type: "url", required: true })), h("button", {}, "Set trigger"));
  show(h("h1", {}, "Triggers"), h("p", { className: "soft" }, "When a datastream does something, the hub posts a form to a URL."),
    h("div", { className: "panel scroll" }, rows.length ? h("table", {}, h("thead", {}, h("tr", {}, ["datastream", "fires when it", "calls", "last called", ""].map((words) => h("th", {}, words)))), h("tbody", {}, rows)) : h("p", {}, "There are no triggers.")),
    h("section", { className: "panel" }, h("h2", {}, "New trigger"), make));
  const timer = setInterval(async () => {
    const fresh = await get("/triggers.json").catch(() => []);
    for (const trigger of fresh) {
      const cell = document.querySelector(`tr[data-trigger="${Number(trigger.id)}"] td:nth-child(4)`);
      if (cell && trigger.notified_at && cell.firstElementChild?.dateTime !== trigger.notified_at) cell.replaceChildren(clock(trigger.notified_at));
    }
  }, 2000);
  return () => clearInterval(timer);
}
