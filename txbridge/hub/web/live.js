// Live updates over the PAWS WebSocket: one connection while somebody is signed in, subscriptions that survive it.

import { authentication, expire } from "./api.js";

const BEAT = 30_000; // asks whether the other end and the key are still there
const PATIENCE = 10_000;
const SLOWEST = 15_000;
const SUBSCRIBED_WITHIN = 1500;
const REFUSED_FOR = 15_000;

const subscriptions = new Map(); // token -> {resource, take, back, gone, refused, ready}
let wanted = false;
let socket = null;
let next = 1;
let delay = 500;
let retry = null;
let beats = null;
let late = null;
let again = null;
const refused = new Set(); // tokens that are asked for again

function say(words, state) {
  const element = document.getElementById("live");
  if (element.textContent !== words) element.textContent = words;
  element.className = `live ${state}`;
  document.body.dataset.live = state;
}

export function start() {
  wanted = true;
  if (socket === null) connect("connecting", "");
}

export function stop() {
  wanted = false;
  subscriptions.clear();
  lost();
  say("", "");
}

function connect(words, state) {
  clearTimeout(retry);
  say(navigator.onLine ? words : "offline", state);
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`);
  socket = mine;
  mine.addEventListener("open", () => {
    if (socket !== mine) return;
    delay = 500;
    say("live", "on");
    for (const [token, { resource }] of subscriptions) send("subscribe", resource, token);
    beats = setInterval(beat, BEAT);
  });
  mine.addEventListener("message", (event) => socket === mine && told(JSON.parse(event.data)));
  mine.addEventListener("close", () => socket === mine && lost());
}

function lost() {
  const old = socket;
  socket = null;
  old?.close();
  clearInterval(beats);
  clearTimeout(late);
  clearTimeout(retry);
  calm();
  if (!wanted) return;
  say(navigator.onLine ? "reconnecting" : "offline", "off");
  retry = setTimeout(() => connect("reconnecting", "off"), delay * (0.5 + Math.random() / 2));
  delay = Math.min(delay * 2, SLOWEST);
}

function hurry() {
  if (!wanted || document.hidden) return;
  if (socket === null) connect("reconnecting", "off");
  else beat();
}
addEventListener("online", hurry);
addEventListener("offline", () => wanted && say("offline", "off"));
document.addEventListener("visibilitychange", hurry);

function send(method, resource, token, params = { datapoints: true }) {
  socket.send(JSON.stringify({ method, resource, headers: authentication(), params, token }));
}

function beat() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  clearTimeout(late);
  late = setTimeout(lost, PATIENCE);
  send("get", "/feeds", "beat", { per_page: "1", content: "summary" });
}

// A key that made too many requests may listen later on; on a socket that is told like what it may never do.
function askAgain() {
  const tokens = [...refused];
  calm();
  for (const token of tokens) if (subscriptions.has(token)) send("subscribe", subscriptions.get(token).resource, token);
}

function calm() {
  clearTimeout(again);
  again = null;
  refused.clear();
}

function told({ token, status, body }) {
  if (token === "beat") {
    clearTimeout(late);
    if (document.body.dataset.live === "off") say("live", "on");
  }
  if (status === 401) return expire();
  const subscription = subscriptions.get(token);
  if (subscription === undefined) return;
  if (status === undefined) {
    if (body) subscription.take(body);
  } else if (status < 400) {
    if (subscription.ready) subscription.ready();
    else subscription.back?.(); // what came meanwhile is in the history
  } else {
    subscription.ready?.();
    if (status === 404) {
      subscriptions.delete(token);
      subscription.gone?.();
    } else {
      subscription.refused?.(String(body));
      refused.add(token);
      again ??= setTimeout(askAgain, REFUSED_FOR);
    }
  }
}

// Be told of every write to a feed.
//   take(body): a write; back(): the connection was lost, and something may have come meanwhile;
//   gone(): the feed was deleted; refused(words): this key may not listen now, which is asked again until back().
// Gives {ready, stop}: once it is ready, nothing that is written from then on is missed.
export function listen(feed, told) {
  const token = `p${next++}`;
  const resource = `/feeds/${feed}`;
  const subscription = { resource, ...told };
  const ready = new Promise((resolve) => {
    subscription.ready = () => {
      subscription.ready = null;
      resolve();
    };
    setTimeout(() => subscription.ready?.(), SUBSCRIBED_WITHIN);
  });
  subscriptions.set(token, subscription);
  if (socket?.readyState === WebSocket.OPEN) send("subscribe", resource, token);
  return {
    ready,
    stop: () => {
      if (subscriptions.delete(token) && socket?.readyState === WebSocket.OPEN) send("unsubscribe", resource, token);
    },
  };
}
