// Signing in, with a key or with the name and password of an account.

import { ask, signIn } from "./api.js";
import { check, field, form, h, show } from "./dom.js";

export function signInView(done, words) {
  const enter = async (given, data) => {
    try {
      await ask("GET", "/feeds.json", { query: { per_page: 1, content: "summary" }, given });
    } catch (error) {
      if (error.status === 401) throw new Error(given.key ? "The hub does not know this key." : "The hub does not know this name with this password.");
      if (error.status !== 403) throw error; // a key that may not read can still write
    }
    signIn(given, data.get("remember") === "on");
    done();
  };
  const key = h("input", { name: "key", type: "password", autocomplete: "off", spellcheck: false, required: true });
  const remember = () => check("stay signed in on this device", "remember");
  show(h("section", { className: "panel sign-in" }, h("h1", {}, "Sign in"), words && h("p", { role: "alert", className: "warning" }, words),
    form({ id: "sign-in" }, (data) => enter({ key: data.get("key").trim() }, data), field("API key", key), remember(), h("button", {}, "Sign in")),
    h("p", { className: "soft" }, "The hub made the owner's key at its first start, and said in which file it is: owner.key in its data directory."),
    h("details", {}, h("summary", {}, "With the name and password of an account"),
      form({ id: "sign-in-account" }, (data) => enter({ login: data.get("login").trim(), password: data.get("password") }, data),
        field("Name", h("input", { name: "login", autocomplete: "username", required: true })), field("Password", h("input", { name: "password", type: "password", autocomplete: "current-password", required: true })),
        remember(), h("button", {}, "Sign in")))));
  key.focus({ preventScroll: true });
}
