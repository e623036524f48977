// The hub's iobeam API, which takes the key as a user token; whoever signed in with a password gets one for a day.

import { ask, signedInKey } from "./api.js";

let login = null; // a promise of the token

export function forgetLogin() {
  login = null;
}

async function token() {
  const key = signedInKey();
  if (key !== null) return key;
  login ??= ask("GET", "/tokens/user", { base: "/v1" }).then(({ document }) => document.token);
  return login;
}

export async function iobeam(method, path, more = {}) {
  try {
    return (await ask(method, path, { ...more, base: "/v1", given: { bearer: await token() } })).document;
  } catch (error) {
    if (error.status === 401) login = null; // it has had its day
    throw error;
  }
}

// Such as "2016-01-01 00:00:00 +0000", which not every browser reads.
const iso = (text) => text.replace(/^(\S+) (\S+) \+0000$/, "$1T$2Z");

export async function devices(project) {
  const found = await iobeam("GET", "/devices", { query: { project_id: project } });
  return found.devices.map((one) => ({ ...one, created: iso(one.created) }));
}

// Which project the text of a token says that it opens, or null.
export function projectOf(text) {
  try {
    const part = text.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const { pid } = JSON.parse(atob(part));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
