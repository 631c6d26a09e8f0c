// Bars of the selected symbol: stored ticks first, then the live stream.

import { get } from "./api.js";
import { decimalsOf, points } from "./format.js";
import { keyOf } from "./quotes.js";
import { nowMs } from "./server_time.js";

const SPANS_S = [1, 5, 60];
const HISTORY_BARS = { 1: 300, 5: 240, 60: 90 };
const HISTORY_TICKS = 10_000;
const HISTORY_PAGES = 4;
const MAX_BARS = 3_000;
const KEPT_BARS = 1_500;

export class ChartPanel {
  #host = document.querySelector("#chart");
  #title = document.querySelector("#chart-symbol");
  #legend = document.querySelector("#chart-legend");
  #buttons = [...document.querySelectorAll("#chart-span button")];
  #library = null;
  #chart = null;
  #bars = null;
  #quote = null;
  #spanS = 5;
  #last = null;
  #count = 0;
  #generation = 0;

  constructor() {
    for (const button of this.#buttons) {
      button.addEventListener("click", () => this.span(Number(button.dataset.span)));
    }
    addEventListener("themechange", () => this.#theme());
  }

  async show(quote) {
    this.#quote = quote;
    this.#title.textContent = quote.symbol;
    this.#legend.textContent = "";
    const generation = ++this.#generation;
    this.#library ??= await import("../vendor/lightweight-charts/lightweight-charts.mjs");
    this.#build();
    const history = await this.#history(quote);
    if (generation !== this.#generation) return;
    const live = this.#last;
    this.#last = null;
    this.#set(history);
    if (live && (!this.#last || live.time >= this.#last.time)) this.#push(live);
  }

  span(seconds) {
    this.#spanS = seconds;
    for (const button of this.#buttons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.span) === seconds));
    }
    if (this.#quote) this.show(this.#quote);
  }

  step(direction) {
    const at = SPANS_S.indexOf(this.#spanS) + direction;
    if (SPANS_S[at] !== undefined) this.span(SPANS_S[at]);
  }

  fit() { this.#chart?.timeScale().fitContent(); }

  take(message) {
    if (!this.#bars || message.bid === null || message.ask === null) return;
    if (keyOf(message) !== keyOf(this.#quote)) return;
    const decimals = decimalsOf(message.bid);
    this.#precision(decimals);
    const mid = (points(message.bid) + points(message.ask)) / 2 / 10 ** decimals;
    const time = Math.floor(Date.parse(message.time) / 1000 / this.#spanS) * this.#spanS;
    const bar = this.#last;
    if (bar && time < bar.time) return;
    if (!bar || time > bar.time) {
      this.#push({ time, open: mid, high: mid, low: mid, close: mid });
    } else {
      this.#push({ ...bar, high: Math.max(bar.high, mid), low: Math.min(bar.low, mid), close: mid });
    }
  }

  #push(bar) {
    if (bar.time !== this.#last?.time) this.#count += 1;
    this.#last = bar;
    this.#bars.update(bar);
    if (this.#count > MAX_BARS) this.#set(this.#bars.data().slice(-KEPT_BARS));
    this.#describe();
  }

  #set(bars) {
    this.#bars.setData(bars);
    this.#count = bars.length;
    this.#last = bars.at(-1) ?? null;
    this.#describe();
  }

  #describe() {
    const bar = this.#last;
    if (!bar) {
      this.#legend.textContent = "mid price · waiting for ticks";
      return;
    }
    const digits = this.#decimals ?? 5;
    const text = ["open", "high", "low", "close"].map((key) => `${key[0].toUpperCase()} ${bar[key].toFixed(digits)}`);
    this.#legend.textContent = `mid price · ${text.join("  ")}`;
  }

  #decimals = null;

  #precision(decimals) {
    if (this.#decimals === decimals) return;
    this.#decimals = decimals;
    const priceFormat = { type: "price", precision: decimals, minMove: 10 ** -decimals };
    this.#bars.applyOptions({ priceFormat });
  }

  async #history({ symbol, stream }) {
    const from = new Date(nowMs() - HISTORY_BARS[this.#spanS] * this.#spanS * 1000).toISOString();
    const query = new URLSearchParams({ symbol, from, limit: String(HISTORY_TICKS) });
    if (stream) query.set("stream", stream);
    const ticks = [];
    try {
      for (let page = 0; page < HISTORY_PAGES; page += 1) {
        const answer = await get(`/api/v1/ticks?${query}`);
        ticks.push(...answer.items);
        if (answer.next_cursor === null) break;
        query.set("cursor", answer.next_cursor);
      }
    } catch { /* what is not stored yet, or cannot be had now, is missing from the left */ }
    return this.#barsOf(ticks);
  }

  #barsOf(ticks) {
    const bars = [];
    for (const tick of ticks) {
      if (tick.bid === null || tick.ask === null) continue;
      const decimals = decimalsOf(tick.bid);
      this.#precision(decimals);
      const mid = (points(tick.bid) + points(tick.ask)) / 2 / 10 ** decimals;
      const time = Math.floor(Date.parse(tick.time) / 1000 / this.#spanS) * this.#spanS;
      const bar = bars.at(-1);
      if (bar && time < bar.time) continue;
      if (bar?.time === time) {
        bar.high = Math.max(bar.high, mid);
        bar.low = Math.min(bar.low, mid);
        bar.close = mid;
      } else {
        bars.push({ time, open: mid, high: mid, low: mid, close: mid });
      }
    }
    return bars;
  }

  #build() {
    this.#chart?.remove();
    this.#decimals = null;
    this.#last = null;
    this.#count = 0;
    const { createChart, CandlestickSeries } = this.#library;
    this.#chart = createChart(this.#host, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 },
      timeScale: { timeVisible: true, secondsVisible: this.#spanS < 60, rightOffset: 4, barSpacing: 7 },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.08 } },
      localization: { timeFormatter: (time) => `${new Date(time * 1000).toISOString().slice(11, 19)} UTC` },
    });
    this.#bars = this.#chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.#theme();
    this.#describe();
  }

  #theme() {
    if (!this.#chart) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.#chart.applyOptions({
      layout: {
        background: { type: "solid", color: colour("--panel") },
        textColor: colour("--dim"),
        fontFamily: colour("--mono"),
      },
      grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
      crosshair: { vertLine: { color: colour("--dim") }, horzLine: { color: colour("--dim") } },
      rightPriceScale: { borderColor: colour("--line") },
      timeScale: { borderColor: colour("--line") },
    });
    const [up, down] = [colour("--up"), colour("--down")];
    this.#bars.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  }
}
