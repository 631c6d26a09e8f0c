// Services, engines, chains and guards: asked every two seconds, never shown as fresher than they are.

import { get } from "./api.js";
import { age, clock, latency, number } from "./format.js";
import { KeyedTable, state } from "./keyed_table.js";
import { nowMs, observe } from "./server_time.js";

const PERIOD_MS = 2_000;

export class Platform extends EventTarget {
  #tables = {
    services: new KeyedTable("services", "service-row", serviceFields),
    engines: new KeyedTable("engines", "service-row", serviceFields),
    clients: new KeyedTable("clients", "service-row", serviceFields),
    hops: new KeyedTable("hops", "hop-row", hopFields),
    guards: new KeyedTable("guards", "guard-row", guardFields),
  };
  #banner = document.querySelector("#banner-health");
  #states = new Map();
  #lastGoodMs = null;

  start() {
    this.#ask();
    setInterval(() => this.#ages(), 500);
  }

  async #ask() {
    const sent = Date.now();
    try {
      const report = await get("/api/v1/health");
      observe(report.now, sent, Date.now());
      this.#lastGoodMs = Date.now();
      this.#show(report);
    } catch (error) {
      this.#unknown(error);
    } finally {
      setTimeout(() => this.#ask(), PERIOD_MS);
    }
  }

  #unknown(error) {
    const since = this.#lastGoodMs === null ? "since this page was opened" : `for ${age(Date.now() - this.#lastGoodMs)}`;
    this.#banner.hidden = false;
    this.#banner.querySelector("#health-text").textContent = `${since}: ${error.message} ${error.remedy ?? ""}`;
  }

  #show(report) {
    this.#banner.hidden = true;
    this.#tables.services.show(report.services);
    this.#tables.engines.show(report.engines);
    this.#tables.clients.show(report.clients);
    this.#tables.guards.show(report.guards);
    const chain = report.chains[0];
    this.#tables.hops.show(chain ? chain.hops.map((hop) => ({ ...hop, chain: chain.name })) : []);
    state(document.querySelector("#chain-state"), chain?.state ?? "");
    document.querySelector("#chain-name").textContent = chain?.name ?? "";
    state(document.querySelector("#platform-state"), report.status);
    this.#halted(report.trading);
    document.querySelector("#banner-problems").hidden = report.problems.length === 0;
    document.querySelector("#problems-text").textContent = report.problems.join(" ");
    this.#changes([...report.services, ...report.engines, ...report.clients]);
    this.#ages();
  }

  #halted(trading) {
    document.body.dataset.trading = trading.state;
    document.querySelector("#banner-halted").hidden = trading.state !== "HALTED";
    document.querySelector("#halted-text").textContent = trading.reason;
  }

  #changes(items) {
    for (const { name, state: now } of items) {
      const before = this.#states.get(name);
      this.#states.set(name, now);
      if (before === undefined || before === now) continue;
      const level = now === "HEALTHY" ? "good" : now === "FAILED" || now === "STOPPED" || now === "UNKNOWN" ? "bad" : "warn";
      this.dispatchEvent(new CustomEvent("change", { detail: { subject: name, text: `${before} → ${now}`, level } }));
    }
  }

  #ages() {
    for (const cell of document.querySelectorAll("[data-since]")) {
      const { since } = cell.dataset;
      cell.textContent = since ? age(nowMs() - Date.parse(since)) : "";
    }
    document.querySelector("#clock").textContent = clock(nowMs());
  }
}

function serviceFields(item) {
  return [item.name, { ...item, rss_mb: number(item.rss_mb, 1), age: item.as_of }];
}

function hopFields(item) {
  const ill = item.state === "FAILED" || item.state === "DEGRADED";
  const values = { ...item, reason: ill ? item.reason : "", p50_ms: latency(item.p50_ms), p99_ms: latency(item.p99_ms), age: item.last_seen };
  return [`${item.chain}/${item.name}`, values];
}

function guardFields(item) {
  return [`${item.service}/${item.name}`, item];
}
