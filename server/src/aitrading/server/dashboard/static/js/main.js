// The terminal: wires the stream and the platform's state to the panels.

import { Account } from "./account.js";
import { Alerts } from "./alerts.js";
import { get } from "./api.js";
import { ChartPanel } from "./chart.js";
import { Connections } from "./connections.js";
import { Devices } from "./devices.js";
import { log } from "./events.js";
import { Evidence } from "./evidence.js";
import { EvidenceDialog } from "./evidence_dialog.js";
import { LIVE } from "./feed_state.js";
import { age, clock } from "./format.js";
import { bindKeys } from "./keys.js";
import { Platform } from "./platform.js";
import { QuotesTable } from "./quotes.js";
import { nowMs } from "./server_time.js";
import { SecurityEvents } from "./security.js";
import { keepAlive, logout, refresh } from "./session.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { Traces } from "./traces.js";

// What the server names is looked up in Maps: an object would also find what all objects have.
const LEVELS = new Map(Object.entries({
  LIVE: "good", DELAYED: "warn", STALE: "warn", CLOSED: "info", UNKNOWN: "bad", DEAD: "bad",
}));
const LINK_TEXTS = { live: "connected", connecting: "connecting", barred: "not connected" };
const LIMITS_PERIOD_MS = 60_000;
const LIMITS_RETRY_MS = 2_000;

const quotes = new QuotesTable();
const chart = new ChartPanel();
const strip = new Strip();
const platform = new Platform();
const evidence = new Evidence();
const evidenceDialog = new EvidenceDialog(() => quotes.symbols);
const stream = new Stream(`wss://${location.host}/api/v1/stream`, {
  renewSession: () => refresh({ force: true }),
});
const account = new Account();
let hasBegun = false;
let isHeld = false;
let status = { state: "connecting", since: null, retryAt: null };
const logged = new Map();

const handlers = new Map(Object.entries({
  quote(message) {
    quotes.take(message);
    chart.take(message);
    strip.take(message);
  },
  feed(message) {
    quotes.feed(message);
  },
  held(message) {
    showHeld(message);
  },
}));

/** While the stream is lost or the limits are not told, all are UNKNOWN: one line says that, not one each. */
function feedChanged({ key, quote: { symbol, told, state }, why }) {
  countFeeds();
  const before = logged.get(key);
  const isOurs = status.state !== "live" || (state === "UNKNOWN" && told !== "UNKNOWN");
  if (isOurs || before === state) return;
  logged.set(key, state);
  if (before !== undefined) log(symbol, `feed ${before} → ${state}${why ? ` · ${why}` : ""}`, LEVELS.get(state));
}

/** What is on the page is what the server sees now. */
const isShown = () => status.state === "live" && !isHeld;

function countFeeds() {
  const { size, tally } = quotes;
  const live = isShown() ? tally.get(LIVE) ?? 0 : "?";
  const feeds = document.querySelector("#feeds");
  feeds.dataset.state = size === 0 ? "" : live === size ? "all" : "some";
  feeds.title = [...tally].map(([state, count]) => `${count} ${state}`).join(", ") || "No feed yet";
  document.querySelector("#feeds-live").textContent = size ? `${live}/${size}` : "–";
}

stream.addEventListener("message", ({ detail }) => handlers.get(detail.type)?.(detail));
stream.addEventListener("status", ({ detail }) => {
  if (detail.state === "live" && status.state !== "live") log("stream", "connected", "good");
  if (detail.state === "lost" && status.state === "live") log("stream", "connection lost", "bad");
  status = detail;
  quotes.live = isShown();
  countFeeds();
  showLink();
});
platform.addEventListener("change", ({ detail }) => log(detail.subject, detail.text, detail.level));
quotes.addEventListener("state", ({ detail }) => feedChanged(detail));
quotes.addEventListener("select", ({ detail }) => {
  chart.show(detail);
  evidence.show(detail.symbol);
  evidenceDialog.look(detail.symbol);
});

function showLink() {
  const lost = status.since !== null;
  document.body.dataset.link = lost ? "lost" : status.state;
  document.querySelector("#link-text").textContent = lost ? "connection lost" : LINK_TEXTS[status.state];
  document.querySelector("#banner-link").hidden = !lost;
  if (!lost) return;
  document.querySelector("#lost-since").textContent = `${clock(status.since)} UTC`;
  document.querySelector("#lost-for").textContent = age(Date.now() - status.since);
  const wait = status.retryAt === null ? 0 : status.retryAt - Date.now();
  document.querySelector("#lost-next").textContent = wait > 0 ? `Next try in ${Math.ceil(wait / 1000)} s.` : "Trying now…";
}

/** The subscription does not count: prices that are shown are no news, and nobody may take them for it. */
function showHeld({ message, remedy }) {
  isHeld = Boolean(message);
  document.querySelector("#banner-held").hidden = !isHeld;
  document.querySelector("#held-text").textContent = isHeld ? `${message} ${remedy}` : "";
  quotes.live = isShown();
  countFeeds();
}

/** The last known quotes once, and the limits again and again: an operator may change them. */
async function ask(path) {
  try {
    const { items, limits, held } = await get(path);
    showHeld(held ?? {});
    quotes.limits = limits;
    stream.heartbeatS = limits.heartbeat_s;
    for (const quote of items) quotes.recall(quote);
    setTimeout(() => ask("/api/v1/quotes?limit=1"), LIMITS_PERIOD_MS);
  } catch { // until then every feed is UNKNOWN, and the banner tells why
    setTimeout(() => ask(path), LIMITS_RETRY_MS);
  }
}

/** Nothing is open to who still needs a second factor: the page says so, and asks for nothing. */
async function begin() {
  const barred = await account.isBarred();
  document.querySelector("#banner-factor").hidden = !barred;
  status = { ...status, state: barred ? "barred" : "connecting" };
  showLink();
  if (barred || hasBegun) return;
  hasBegun = true;
  new SecurityEvents().start();
  new Connections().start();
  new Devices().start();
  new Alerts().start();
  evidence.start();
  stream.open();
  ask("/api/v1/quotes");
}

const traces = new Traces();
bindKeys({
  evidence: () => evidenceDialog.open(),
  requests: () => traces.open(),
  move: (step) => quotes.move(step),
  filter: (text) => quotes.filter(text),
  span: (direction) => chart.step(direction),
  fit: () => chart.fit(),
});
document.querySelector("#logout").addEventListener("click", logout);
setInterval(showLink, 500);
keepAlive(() => (hasBegun ? stream.renew() : begin()));
platform.start();
account.start();
traces.start();
evidenceDialog.start();
begin();
log("page", `opened at ${clock(nowMs())} UTC`);
