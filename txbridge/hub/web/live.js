// Live updates over the PAWS WebSocket: one connection, subscriptions that survive it.

import { authentication } from "./api.js";

const subscriptions = new Map(); // token -> {resource, take, back}
let socket = null;
let next = 1;
let delay = 500;
let opened = false;

function say(words, state) {
  const element = document.getElementById("live");
  element.textContent = words;
  element.className = `live ${state}`;
}

function send(token, method, resource) {
  socket.send(JSON.stringify({ method, resource, headers: authentication(), params: { datapoints: true }, token }));
}

function connect() {
  if (socket !== null || subscriptions.size === 0) return;
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`);
  say("connecting", "");
  socket.addEventListener("open", () => {
    delay = 500;
    say("live", "on");
    for (const [token, { resource, back }] of subscriptions) {
      send(token, "subscribe", resource);
      if (opened) back(); // what came meanwhile is in the history
    }
    opened = true;
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    const subscription = subscriptions.get(message.token);
    if (subscription && message.body && message.status === undefined) subscription.take(message.body);
    else if (subscription && message.status >= 400) say("not live: the key may not listen here", "off");
  });
  socket.addEventListener("close", () => {
    socket = null;
    if (subscriptions.size === 0) return say("", "");
    say("not live, connecting again", "off");
    setTimeout(connect, delay * (0.5 + Math.random() / 2));
    delay = Math.min(delay * 2, 30000);
  });
}

// Be told of every write to a feed; gives what ends it.
export function listen(feed, take, back) {
  const token = `p${next++}`;
  const resource = `/feeds/${feed}`;
  subscriptions.set(token, { resource, take, back });
  if (socket === null) connect();
  else if (socket.readyState === WebSocket.OPEN) send(token, "subscribe", resource);
  return () => {
    subscriptions.delete(token);
    if (socket?.readyState === WebSocket.OPEN) {
      if (subscriptions.size === 0) socket.close();
      else send(token, "unsubscribe", resource);
    }
  };
}
