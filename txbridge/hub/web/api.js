// The Cosm v2 API, with the key of who is signed in.  The key lives in this tab and in headers, never in a URL.

const KEPT = "txbridge-credentials";

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
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

export function authentication(given = credentials) {
  if (given === null) return {};
  if (given.key) return { "X-ApiKey": given.key };
  const bytes = new TextEncoder().encode(`${given.login}:${given.password}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

export async function ask(method, path, { body, query, given, base = "/v2" } = {}) {
  const search = new URLSearchParams(query ?? {}).toString();
  let response;
  try {
    response = await fetch(`${base}${path}${search ? `?${search}` : ""}`, {
      method,
      headers: { ...authentication(given), "Content-Type": "application/json", Accept: "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, "The hub cannot be reached.");
  }
  const text = await response.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(response.status, `The hub gave an answer that is no JSON (${response.status}).`);
  }
  if (!response.ok) throw new Refused(response.status, document?.errors ?? `The hub answered ${response.status}.`);
  return { document, location: response.headers.get("Location") };
}

export const get = async (path, query) => (await ask("GET", path, { query })).document;
export const post = (path, body) => ask("POST", path, { body });
export const put = (path, body) => ask("PUT", path, { body });
export const remove = (path) => ask("DELETE", path);
