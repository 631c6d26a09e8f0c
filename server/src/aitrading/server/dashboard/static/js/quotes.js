// The quotes table. Messages change the book at once; the screen follows once per frame.

import { LIVE, UNKNOWN, aged } from "./feed_state.js";
import { age, points, priceParts, signed, words } from "./format.js";
import { nowMs } from "./server_time.js";
import { draw } from "./spark.js";

const HISTORY_MS = 120_000;
const HISTORY_STEP_MS = 1_000;
const RATE_WINDOW_S = 10;
const FLASH_MS = 350;

/** One row: a symbol of one account, since two accounts may quote it differently. */
export function keyOf(message) {
  return message.account ? `${message.symbol} ${message.account}` : message.symbol;
}

/** What is known about one row; `book` keeps one for each. */
class Quote {
  constructor({ symbol, account }) {
    this.symbol = symbol;
    this.account = account ?? "";
    this.stream = null;
    this.bid = null;
    this.ask = null;
    this.told = "";
    this.reason = "";
    this.bounds = null;
    this.deadlineMs = null;
    this.about = "";
    this.state = "";
    this.heardAt = performance.now();
    this.sequence = "";
    this.provisional = false;
    this.timeMs = null;
    this.firstMid = null;
    this.mids = [];
    this.arrivals = new Array(RATE_WINDOW_S).fill(0);
    this.ticked = { bid: null, ask: null };
    this.tickedAt = 0;
  }

  take(message) {
    for (const side of ["bid", "ask"]) {
      if (message[side] === null) continue;
      if (this[side] !== null && this[side] !== message[side]) {
        this.ticked[side] = points(message[side]) > points(this[side]) ? "up" : "down";
        this.tickedAt = performance.now();
      }
      this[side] = message[side];
    }
    this.timeMs = Date.parse(message.time);
    this.heardAt = performance.now();
    this.tell(message);
    this.sequence = message.sequence ?? this.sequence;
    this.provisional = message.provisional === true;
    this.stream = message.stream ?? this.stream;
    this.arrivals[0] += 1;
    if (this.bid === null || this.ask === null) return;
    const mid = (points(this.bid) + points(this.ask)) / 2;
    this.firstMid ??= mid;
    const last = this.mids.at(-1);
    if (last && this.timeMs - last[0] < HISTORY_STEP_MS) last[1] = mid;
    else this.mids.push([this.timeMs, mid]);
    while (this.mids.length && this.mids[0][0] < this.timeMs - HISTORY_MS) this.mids.shift();
  }

  /** What the server says of the feed, true when it is said; `judge` lets it age. */
  tell({ state, reason, bounds, deadline, canonical, instrument_class, calendar_mismatch, quarantined, quarantine_reason }) {
    if (bounds) {
      this.bounds = bounds;
      this.deadlineMs = deadline ? Date.parse(deadline) : null;
      const hours = instrument_class ? `${canonical}, hours of ${instrument_class}` : "trading hours not known";
      const rhythm = `late after ${bounds.delayed_after_s} s${bounds.learned ? ", learned" : ""}`;
      const doubted = quarantined ? `; ${quarantined} ticks in quarantine, the newest: ${words(quarantine_reason)}` : "";
      this.about = `${hours}; ${rhythm}${calendar_mismatch ? "; ticks outside of these hours" : ""}${doubted}`;
    }
    if (!state || (state === this.told && !reason)) return;
    this.told = state;
    this.reason = reason ?? "";
  }

  get silentMs() { return performance.now() - this.heardAt; }

  /** Since the quote was made, and at least since it was heard: a fast clock hides no silence. */
  ageMs(now) {
    return this.timeMs === null ? this.silentMs : Math.max(now - this.timeMs, this.silentMs);
  }

  get rate() {
    return this.arrivals.reduce((sum, count) => sum + count, 0) / RATE_WINDOW_S;
  }
}

export class QuotesTable extends EventTarget {
  #rows = new Map();
  #dirty = new Set();
  #book = new Map();
  #body = document.querySelector("#quotes tbody");
  #template = document.querySelector("#quote-row");
  #empty = document.querySelector("#quotes-empty");
  #filter = "";
  #selected = null;
  #live = false;
  #limits = null;

  constructor() {
    super();
    setInterval(() => this.#second(), 1_000);
    setInterval(() => this.#ages(), 200);
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.select(row.dataset.key);
    });
    addEventListener("themechange", () => this.#repaint());
  }

  get shown() {
    return [...this.#rows.keys()].filter((key) => !this.#rows.get(key).row.hidden);
  }

  get selected() { return this.#selected; }

  /** A stream that came back has to say each state again: the one before it knew is history. */
  set live(live) {
    if (live && !this.#live) for (const quote of this.#book.values()) quote.told = "";
    this.#live = live;
    this.#ages();
    this.#repaint();
  }

  /** The server's `limits`; before they are known no feed counts as LIVE. */
  set limits(limits) {
    this.#limits = limits;
    this.#ages();
  }

  get size() { return this.#book.size; }

  get symbols() {
    return [...new Set([...this.#book.values()].map(({ symbol }) => symbol))].sort();
  }

  /** How many feeds are in each state, in the order they are met. */
  get tally() {
    const tally = new Map();
    for (const { state } of this.#book.values()) tally.set(state, (tally.get(state) ?? 0) + 1);
    return tally;
  }

  take(message) {
    const quote = this.#of(message);
    quote.take(message);
    this.#judge(quote, keyOf(message));
    this.#mark(keyOf(message));
  }

  /** A quote from before this page heard anything: it never replaces what the stream brought. */
  recall(message) {
    const known = [...this.#book.values()].find(({ symbol, account }) =>
      symbol === message.symbol && (!message.account || account === message.account));
    if (known === undefined) this.take(message);
    else if (known.timeMs === null) this.take({ ...message, account: known.account });
  }

  feed(message) {
    const quote = this.#of(message);
    quote.tell(message);
    this.#judge(quote, keyOf(message));
    this.#mark(keyOf(message));
  }

  select(key) {
    if (!this.#rows.has(key) || key === this.#selected) return;
    this.#rows.get(this.#selected)?.row.setAttribute("aria-selected", "false");
    this.#selected = key;
    const { row } = this.#rows.get(key);
    row.setAttribute("aria-selected", "true");
    row.scrollIntoView({ block: "nearest" });
    this.dispatchEvent(new CustomEvent("select", { detail: this.#book.get(key) }));
  }

  move(step) {
    const { shown } = this;
    if (!shown.length) return;
    const at = shown.indexOf(this.#selected);
    this.select(shown[Math.min(shown.length - 1, Math.max(0, at + step))]);
  }

  filter(text) {
    this.#filter = text.trim().toLowerCase();
    for (const [key, { row }] of this.#rows) row.hidden = !this.#matches(key);
    const none = this.#rows.size > 0 && this.shown.length === 0;
    this.#empty.hidden = this.#rows.size > 0 && !none;
    if (none) this.#empty.textContent = `No symbol contains “${text}”.`;
    if (!this.shown.includes(this.#selected)) this.move(-Infinity);
  }

  #matches(key) { return key.toLowerCase().includes(this.#filter); }

  #of(message) {
    const key = keyOf(message);
    let quote = this.#book.get(key);
    if (!quote) {
      if (message.account) this.#forget(message.symbol);
      quote = new Quote(message);
      this.#book.set(key, quote);
      this.#add(key, quote);
    }
    return quote;
  }

  /** A recalled quote names no account; the feed itself takes its row's place. */
  #forget(key) {
    if (!this.#book.delete(key)) return;
    this.#rows.get(key).row.remove();
    this.#rows.delete(key);
    this.#dirty.delete(key);
    if (this.#selected === key) this.#selected = null;
  }

  #add(key, quote) {
    const row = this.#template.content.firstElementChild.cloneNode(true);
    row.dataset.key = key;
    row.hidden = !this.#matches(key);
    row.title = quote.account;
    row.setAttribute("aria-selected", "false");
    const fields = Object.fromEntries(
      [...row.querySelectorAll("[data-field]")].map((cell) => [cell.dataset.field, cell]),
    );
    fields.symbol.textContent = quote.symbol;
    const after = [...this.#rows.keys()].find((known) => known > key);
    this.#body.insertBefore(row, after ? this.#rows.get(after).row : null);
    this.#rows.set(key, { row, fields });
    this.#rows = new Map([...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1)));
    this.#nameAccounts(quote.symbol);
    this.#empty.hidden = true;
    if (this.#selected === null) this.select(key);
  }

  /** The account is shown where the symbol alone does not tell rows apart. */
  #nameAccounts(symbol) {
    const same = [...this.#book].filter(([, quote]) => quote.symbol === symbol);
    if (same.length < 2) return;
    for (const [key, quote] of same) this.#rows.get(key).fields.account.textContent = quote.account;
  }

  #judge(quote, key) {
    const now = nowMs();
    const ages = { ageMs: quote.ageMs(now), silentMs: quote.silentMs, nowMs: now };
    const state = this.#live ? aged(quote, ages, this.#limits) : UNKNOWN;
    if (state === quote.state) return;
    quote.state = state;
    this.#mark(key);
    this.dispatchEvent(new CustomEvent("state", { detail: { key, quote, why: this.#why(quote) } }));
  }

  #why(quote) {
    if (!this.#live) return quote.told ? `${quote.told} when the connection was lost` : "";
    if (quote.state === quote.told) return quote.reason;
    if (!quote.told) return "not told since the stream is open";
    if (this.#limits === null) return "the server has not told its limits yet";
    return `nothing new for ${age(quote.ageMs(nowMs()))}; the server last said ${quote.told}`;
  }

  #mark(key) {
    if (this.#dirty.size === 0) requestAnimationFrame(() => this.#paint());
    this.#dirty.add(key);
  }

  #repaint() {
    for (const key of this.#rows.keys()) this.#mark(key);
  }

  #paint() {
    for (const key of this.#dirty) {
      const { fields } = this.#rows.get(key);
      const quote = this.#book.get(key);
      this.#paintPrices(quote, fields);
      fields.state.textContent = quote.state;
      fields.state.dataset.state = quote.state;
      fields.state.title = [this.#why(quote), quote.about].filter(Boolean).join(" · ");
      fields.sequence.textContent = quote.sequence;
      fields.provisional.textContent = quote.provisional ? "◦" : "";
      fields.provisional.title = quote.provisional ? "Seen, not yet stored" : "";
    }
    this.#dirty.clear();
  }

  #paintPrices(quote, fields) {
    for (const side of ["bid", "ask"]) {
      if (quote[side] === null) continue;
      paintPrice(fields[side], quote[side]);
      const fresh = performance.now() - quote.tickedAt < FLASH_MS;
      fields[side].dataset.last = quote.ticked[side] ?? "";
      if (fresh && quote.ticked[side]) flash(fields[side], quote.ticked[side]);
    }
    if (quote.bid === null || quote.ask === null) return;
    fields.spread.textContent = points(quote.ask) - points(quote.bid);
    const move = Math.round((points(quote.bid) + points(quote.ask)) / 2 - quote.firstMid);
    fields.move.textContent = signed(move);
    fields.move.dataset.sign = move > 0 ? "up" : move < 0 ? "down" : "";
    draw(fields.spark, quote.mids, HISTORY_MS);
  }

  #second() {
    for (const [key, quote] of this.#book) {
      this.#rows.get(key).fields.rate.textContent = quote.rate.toFixed(1);
      quote.arrivals.pop();
      quote.arrivals.unshift(0);
    }
  }

  #ages() {
    const now = nowMs();
    for (const [key, { row, fields }] of this.#rows) {
      const quote = this.#book.get(key);
      this.#judge(quote, key);
      row.toggleAttribute("data-old", quote.state !== LIVE);
      if (quote.timeMs !== null) fields.age.textContent = age(quote.ageMs(now));
    }
  }
}

function paintPrice(cell, price) {
  const parts = priceParts(price);
  if (cell.childElementCount !== 3) {
    cell.replaceChildren(...["small", "pips", "pipette"].map((name) => {
      const span = document.createElement("span");
      span.className = name;
      return span;
    }));
  }
  parts.forEach((part, index) => { cell.children[index].textContent = part; });
}

function flash(cell, direction) {
  cell.dataset.tick = direction;
  clearTimeout(cell.flashTimer);
  cell.flashTimer = setTimeout(() => { delete cell.dataset.tick; }, FLASH_MS);
}

