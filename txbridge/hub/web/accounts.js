// Accounts: the owner makes and deletes them, and everybody sets their own password.

import { get, passwordChanged, post, put, remove } from "./api.js";
import { formDialog, sure } from "./dialog.js";
import { field, form, h, row, show, table, toast } from "./dom.js";
import { whoAmI } from "./who.js";
import { count } from "./words.js";

const password = () => field("Password, at least 8 characters", h("input", { name: "password", type: "password", autocomplete: "new-password", required: true, minLength: 8 }));
const address = (login) => `/users/${encodeURIComponent(login)}`;

function change(user, done) {
  formDialog(`Change ${user.login}`, (close, buttons) => form({}, async (data) => {
    const changed = { full_name: data.get("full_name"), email: data.get("email") };
    if (data.get("password")) changed.password = data.get("password");
    await put(address(user.login), { user: changed });
    if (changed.password) passwordChanged(user.login, changed.password);
    close();
    toast("Saved.", true);
    await done();
  }, field("Name of the person", h("input", { name: "full_name", value: user.full_name ?? "", autocomplete: "off" })), field("Mail", h("input", { name: "email", type: "email", value: user.email ?? "", autocomplete: "off" })),
  field("New password (empty: as it is)", h("input", { name: "password", type: "password", autocomplete: "new-password", minLength: 8 })), buttons));
}

export async function listAccounts() {
  const me = await whoAmI();
  const list = (await get("/users.json")).map(({ user }) => user);
  const rows = list.map((user) => row([user.login, user.full_name ?? "", user.email ?? "", (user.roles ?? []).includes("admin") ? "owner of the hub" : "",
    user.feeds_count === undefined ? "" : count(user.feeds_count, "feed"), h("div", { className: "row tight" },
    h("button", { type: "button", className: "quiet", onclick: () => change(user, listAccounts) }, "Change"),
    me.owner && user.login !== me.login && h("button", { type: "button", className: "danger", onclick: () => sure(`Delete ${user.login}?`, "The account is deleted with its keys, its triggers, and all its feeds with their history. This cannot be undone.", "Delete account", async () => { await remove(address(user.login)); await listAccounts(); }) }, "Delete"))], { "data-login": user.login }));
  const make = form({ id: "new-account" }, async (data) => {
    await post("/users", { user: { login: data.get("login"), password: data.get("password") } });
    await listAccounts();
    toast("The account is made.", true);
  }, field("Name to sign in with", h("input", { name: "login", required: true, maxLength: 40, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", autocomplete: "off", title: "letters, digits, _, . and -" })), password(), h("button", {}, "Make account"));
  show(h("h1", {}, me.owner ? "Accounts" : "Account"), h("p", { className: "soft" }, "Each account has feeds, keys and triggers of its own. Somebody signs in with its name and password; devices use its keys."),
    me.owner && h("details", { className: "panel", open: list.length === 1 }, h("summary", {}, "New account"), make),
    h("div", { className: "panel" }, table(["name", "person", "mail", "is", "has", ""], rows)));
}
