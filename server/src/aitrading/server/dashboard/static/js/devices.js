// What devices said of themselves that somebody should act on: barred ones, and terminals that were away too much.

import { get } from "./api.js";

const PERIOD_MS = 60_000;

export class Devices {
  #list = document.querySelector("#device-notes");

  start() {
    this.#ask();
  }

  async #ask() {
    try {
      const [standing, known] = await Promise.all([get("/api/v1/devices/standing"), get("/api/v1/devices")]);
      const names = new Map(known.devices.map((one) => [one.device, one.name]));
      this.#list.replaceChildren(...standing.devices.flatMap((one) => told(one, names.get(one.device) ?? one.device, standing)));
    } catch (error) {
      this.#list.replaceChildren(line("warn", `Standing of devices unknown: ${error.message}`));
    } finally {
      setTimeout(() => this.#ask(), PERIOD_MS);
    }
  }
}

function told(one, name, { remedy, availability_wanted: wanted }) {
  const lines = [];
  if (one.exposure.barred) lines.push(line("bad", `${name} may open nothing new: ${one.exposure.reason}. ${remedy}`));
  for (const each of newest(one.report.terminals ?? [])) {
    const measured = each.up_s + each.wedged_s + each.away_s;
    if (!measured || each.up_s / measured >= wanted) continue;
    const share = ((100 * each.up_s) / measured).toFixed(2);
    lines.push(line("warn", `${name}, ${each.terminal}: up ${share} % of the ${(measured / 3600).toFixed(1)} h measured in ${each.month}, wanted ${100 * wanted} %. Look at the client's log.`));
  }
  return lines;
}

/** The newest month of each terminal; they come with the newest first. */
const newest = (months) => months.filter((each, i) => months.findIndex((other) => other.terminal === each.terminal) === i);

function line(state, text) {
  const item = document.createElement("li");
  item.dataset.state = state;
  item.textContent = text;
  return item;
}
