// Who is signed in, as far as the hub tells the key.

import { get } from "./api.js";

let known = null;

export function forgetWho() {
  known = null;
}

// {login, owner}; the login is null for a key that is limited to something, which manages nothing.
export function whoAmI() {
  known ??= find().catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

export function creatorOf(feed) {
  return decodeURIComponent((feed.creator ?? "").split("/").pop());
}

// Whether it is of any use to offer changes; what a limited key may do, only the hub knows.
export function mayChange(feed, me) {
  return me.login === null || me.login === creatorOf(feed);
}

async function find() {
  const refused = (error) => {
    if (error.status !== 403 && error.status !== 404) throw error;
    return null;
  };
  const owner = await get("/users/owner.json").catch(refused);
  if (owner?.user?.login) return { login: owner.user.login, owner: true };
  const mine = await get("/users.json").catch(refused);
  return { login: mine?.[0]?.user.login ?? null, owner: false };
}
