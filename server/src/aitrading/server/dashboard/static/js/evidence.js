// What is proved of the chart's symbol today, and what is missing anywhere: asked again and again.

import { get } from "./api.js";
import { log } from "./events.js";
import { nowMs } from "./server_time.js";

const PROOF_PERIOD_MS = 60_000;
const GAPS_PERIOD_MS = 10_000;
const LIMIT = 50;

export class Evidence {
  #symbol = null;
  #timer = null;
  #gaps = new Map();
  #problem = false;
  #line = document.querySelector("#day-proof");

  start() {
    this.#askGaps();
  }

  /** Another symbol is looked at. */
  show(symbol) {
    if (!symbol || symbol === this.#symbol) return;
    this.#symbol = symbol;
    this.#tell("", "");
    clearTimeout(this.#timer);
    this.#askProof(symbol);
  }

  async #askProof(symbol) {
    const day = new Date(nowMs()).toISOString().slice(0, 10);
    try {
      const asked = new URLSearchParams({ symbol, day });
      const { certificate } = await get(`/api/v1/feeds/certificate?${asked}`);
      if (symbol === this.#symbol) this.#tell(`${certificate.text} ticks today`, certificate.state);
    } catch (error) {
      if (symbol === this.#symbol) this.#tell(`not proved: ${error.message}`, "UNKNOWN");
    }
    if (symbol === this.#symbol) this.#timer = setTimeout(() => this.#askProof(symbol), PROOF_PERIOD_MS);
  }

  #tell(text, state) {
    this.#line.textContent = text;
    this.#line.dataset.state = state;
    this.#line.title = text && "Stored of what the devices counted, by the day's certificate (UTC); open the evidence (e)";
  }

  async #askGaps() {
    try {
      const { items } = await get(`/api/v1/feeds/gaps?limit=${LIMIT}`);
      if (this.#problem) log("gaps", "known again", "good");
      this.#problem = false;
      for (const item of items.reverse()) this.#tellGap(item);
    } catch (error) {
      if (!this.#problem) log("gaps", `not known: ${error.message}`, "warn");
      this.#problem = true;
    } finally {
      setTimeout(() => this.#askGaps(), GAPS_PERIOD_MS);
    }
  }

  /** What was repaired before this page was opened is not told. */
  #tellGap({ id, symbol, reason, state, repaired_ticks: ticks }) {
    const before = this.#gaps.get(id);
    this.#gaps.set(id, state);
    if (this.#gaps.size > 4 * LIMIT) this.#gaps.delete(this.#gaps.keys().next().value);
    if (before === state) return;
    if (state === "OPEN") log(symbol, `gap: ${reason}`, "bad");
    else if (state === "REPAIRED" && before !== undefined) log(symbol, `gap repaired: ${reason}; ${ticks} ticks fetched again`, "good");
  }
}
