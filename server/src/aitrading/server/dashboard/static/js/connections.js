// Who is connected: asked every five seconds. While nobody answers, the list says how old it is.

import { get } from "./api.js";
import { age, latency } from "./format.js";
import { KeyedTable } from "./keyed_table.js";

const PERIOD_MS = 5_000;

export class Connections {
  #table = new KeyedTable("connections", "connection-row", fields);
  #note = document.querySelector("#connections-note");
  #lastGoodMs = null;

  start() {
    this.#ask();
  }

  async #ask() {
    try {
      const { items } = await get("/api/v1/connections");
      this.#lastGoodMs = Date.now();
      this.#table.show(items);
      this.#note.textContent = items.length === 0 ? "nobody" : "";
    } catch (error) {
      const since = this.#lastGoodMs === null ? "unknown" : `as of ${age(Date.now() - this.#lastGoodMs)} ago`;
      this.#note.textContent = `${since}: ${error.message}`;
    } finally {
      setTimeout(() => this.#ask(), PERIOD_MS);
    }
  }
}

function fields(item) {
  return [item.id, { ...item, round_trip_ms: latency(item.round_trip_ms), age: item.since }];
}
