// The terminal: wires the stream and the platform's state to the panels.

import { get } from "./api.js";
import { ChartPanel } from "./chart.js";
import { log } from "./events.js";
import { age, clock } from "./format.js";
import { bindKeys } from "./keys.js";
import { Platform } from "./platform.js";
import { QuotesTable, keyOf } from "./quotes.js";
import { nowMs } from "./server_time.js";
import { keepAlive, logout, refresh } from "./session.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";

const LEVELS = { LIVE: "good", DELAYED: "warn", STALE: "warn", CLOSED: "info", DEAD: "bad" };

const quotes = new QuotesTable();
const chart = new ChartPanel();
const strip = new Strip();
const platform = new Platform();
const stream = new Stream(`wss://${location.host}/api/v1/stream`, {
  renewSession: () => refresh({ force: true }),
});
let status = { state: "connecting", since: null, retryAt: null };
const feeds = new Map();

const handlers = {
  quote(message) {
    quotes.take(message);
    chart.take(message);
    strip.take(message);
    feed(message);
  },
  feed(message) {
    quotes.feed(message);
    feed(message);
  },
};

function feed(message) {
  const { symbol, state, reason } = message;
  const key = keyOf(message);
  const before = feeds.get(key);
  if (!state || before === state) return;
  feeds.set(key, state);
  if (before !== undefined) log(symbol, `feed ${before} → ${state}${reason ? ` · ${reason}` : ""}`, LEVELS[state]);
  countFeeds();
}

function countFeeds() {
  const live = [...feeds.values()].filter((value) => value === "LIVE").length;
  const known = status.state === "live" ? live : "?";
  document.querySelector("#feeds-live").textContent = feeds.size ? `${known}/${feeds.size}` : "–";
}

stream.addEventListener("message", ({ detail }) => handlers[detail.type]?.(detail));
stream.addEventListener("status", ({ detail }) => {
  if (detail.state === "live" && status.state !== "live") log("stream", "connected", "good");
  if (detail.state === "lost" && status.state === "live") log("stream", "connection lost", "bad");
  status = detail;
  quotes.live = detail.state === "live";
  countFeeds();
  showLink();
});
platform.addEventListener("change", ({ detail }) => log(detail.subject, detail.text, detail.level));
quotes.addEventListener("select", ({ detail }) => chart.show(detail));

function showLink() {
  const lost = status.since !== null;
  document.body.dataset.link = lost ? "lost" : status.state;
  document.querySelector("#link-text").textContent = lost ? "connection lost" : status.state === "live" ? "connected" : "connecting";
  document.querySelector("#banner-link").hidden = !lost;
  if (!lost) return;
  document.querySelector("#lost-since").textContent = `${clock(status.since)} UTC`;
  document.querySelector("#lost-for").textContent = age(Date.now() - status.since);
  const wait = status.retryAt === null ? 0 : status.retryAt - Date.now();
  document.querySelector("#lost-next").textContent = wait > 0 ? `Next try in ${Math.ceil(wait / 1000)} s.` : "Trying now…";
}

async function firstQuotes() {
  try {
    const answer = await get("/api/v1/quotes");
    for (const quote of answer.items) {
      if (quotes.quote(keyOf(quote)) === undefined) quotes.take(quote);
      feed(quote);
    }
  } catch { /* the stream brings them, or the banner tells why not */ }
}

async function leave() {
  const banner = document.querySelector("#banner-session");
  banner.hidden = true;
  try {
    await logout();
  } catch (error) {
    document.querySelector("#session-text").textContent = [error.message, error.remedy].filter(Boolean).join(" ");
    banner.hidden = false;
  }
}

bindKeys({
  move: (step) => quotes.move(step),
  filter: (text) => quotes.filter(text),
  span: (direction) => chart.step(direction),
  fit: () => chart.fit(),
});
document.querySelector("#logout").addEventListener("click", leave);
setInterval(showLink, 500);
keepAlive(() => stream.renew());
platform.start();
stream.open();
firstQuotes();
log("page", `opened at ${clock(nowMs())} UTC`);
