// The hub's APIs, with the key of who is signed in.  The key lives in this tab and in headers, never in a URL.

const BUSY = 429; // the service said 403 to too many requests, which is not what a key may not do
const KEPT = "txbridge-credentials";

class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status; // of HTTP; 0 when the hub cannot be reached
  }
}

let credentials = JSON.parse(sessionStorage.getItem(KEPT) ?? localStorage.getItem(KEPT) ?? "null");

export function signedIn() {
  return credentials !== null;
}

export function signIn(given, remember) {
  credentials = given;
  (remember ? localStorage : sessionStorage).setItem(KEPT, JSON.stringify(given));
}

export function signOut() {
  credentials = null;
  sessionStorage.removeItem(KEPT);
  localStorage.removeItem(KEPT);
}

// Whoever shows the page hears of it, and asks for another key.
export function expire() {
  if (credentials === null) return;
  signOut();
  document.dispatchEvent(new CustomEvent("expired"));
}

// A new password must not throw out who has just set it.
export function passwordChanged(login, password) {
  if (credentials?.login === login) signIn({ login, password }, localStorage.getItem(KEPT) !== null);
}

// The key in use may be the one that was given another text; then the page goes on with that.  Tells whether it was.
export async function keyReplaced(text) {
  if (!credentials?.key) return false;
  const refused = await ask("GET", "/feeds.json", { query: { per_page: 1, content: "summary" }, given: { ...credentials } }).then(() => false, (error) => error.status === 401);
  if (refused) signIn({ key: text }, localStorage.getItem(KEPT) !== null);
  return refused;
}

export function authentication(given = credentials) {
  if (given === null) return {};
  if (given.bearer) return { Authorization: `Bearer ${given.bearer}` };
  if (given.key) return { "X-ApiKey": given.key };
  const bytes = new TextEncoder().encode(`${given.login}:${given.password}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

export function signedInKey() {
  return credentials?.key ?? null;
}

// For a command that somebody pastes into a terminal: what it needs, and what may be seen of that.
export function commandSecrets() {
  return credentials?.key ? { words: `-H 'X-ApiKey: ${credentials.key}'`, masked: "-H 'X-ApiKey: ••••••••'" } : { words: `-u '${credentials?.login ?? ""}'`, masked: `-u '${credentials?.login ?? ""}'` };
}

async function fetched(method, path, { body, query, given, base = "/v2", accept = "application/json" } = {}) {
  const search = new URLSearchParams(query ?? {}).toString();
  const used = given ?? credentials;
  let response;
  try {
    response = await fetch(`${base}${path}${search ? `?${search}` : ""}`, {
      method,
      headers: { ...authentication(used), "Content-Type": "application/json", Accept: accept },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, "The hub cannot be reached.");
  }
  if (response.status === 401 && used === credentials) expire();
  return response;
}

export async function ask(method, path, more) {
  const response = await fetched(method, path, more);
  const text = await response.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(response.status, `The hub gave an answer that is no JSON (${response.status}).`);
  }
  const wait = response.headers.get("Retry-After");
  if (!response.ok && wait) throw new Refused(BUSY, `The hub asks for patience: try again in ${wait} s.`);
  if (!response.ok) throw new Refused(response.status, refusal(document) ?? `The hub answered ${response.status}.`);
  return { document, location: response.headers.get("Location") };
}

function refusal(document) {
  const errors = document?.errors;
  return Array.isArray(errors) ? errors.map((one) => one.message ?? one).join("; ") : errors; // iobeam's are objects
}

export async function download(path, name) {
  const response = await fetched("GET", path, { accept: "text/csv" });
  if (!response.ok) throw new Refused(response.status, `The hub answered ${response.status}.`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const get = async (path, query) => (await ask("GET", path, { query })).document;
export const post = (path, body) => ask("POST", path, { body });
export const put = (path, body) => ask("PUT", path, { body });
export const remove = (path) => ask("DELETE", path);
