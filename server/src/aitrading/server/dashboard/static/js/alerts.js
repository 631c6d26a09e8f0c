// Alerts of the organisation's clients about prices: asked every five seconds, told among the events once each.

import { get } from "./api.js";
import { log } from "./events.js";

const PERIOD_MS = 5_000;
const LIMIT = 50;

export class Alerts {
  #told = new Map();
  #problem = false;

  start() {
    this.#ask();
  }

  async #ask() {
    try {
      const { items } = await get(`/api/v1/alerts?limit=${LIMIT}`);
      if (this.#problem) log("alerts", "known again", "good");
      this.#problem = false;
      for (const item of items.reverse()) this.#tell(item);
    } catch (error) {
      if (!this.#problem) log("alerts", `not known: ${error.message}`, "warn");
      this.#problem = true;
    } finally {
      setTimeout(() => this.#ask(), PERIOD_MS);
    }
  }

  /** What ended before this page was opened is not told. */
  #tell(item) {
    const state = item.cleared_at === null ? "open" : "ended";
    const before = this.#told.get(item.id);
    this.#told.set(item.id, state);
    if (this.#told.size > 4 * LIMIT) this.#told.delete(this.#told.keys().next().value);
    if (before === state || (state === "ended" && before === undefined)) return;
    const rule = item.rule.replace(/^\S+ /, "");
    if (state === "open") log(item.symbol, `alert ${rule}: ${item.value}`, "bad");
    else log(item.symbol, `alert ${rule} ended: ${item.cleared_value}`, "good");
  }
}
