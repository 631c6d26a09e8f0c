// Services, engines, chains and guards: asked every two seconds, never shown as fresher than they are.

import { get } from "./api.js";
import { age, clock, latency, number } from "./format.js";
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

/** Rows by key, cloned from a template that the server rendered with the same macro. */
class KeyedTable {
  #body;
  #template;
  #fields;

  constructor(table, template, fields) {
    this.#body = document.querySelector(`#${table} tbody`);
    this.#template = document.querySelector(`#${template}`);
    this.#fields = fields;
  }

  show(items) {
    const known = new Map([...this.#body.rows].map((row) => [row.dataset.key, row]));
    const rows = items.map((item) => {
      const [key, values] = this.#fields(item);
      const row = known.get(key) ?? this.#template.content.firstElementChild.cloneNode(true);
      row.dataset.key = key;
      row.title = item.detail || item.reason || item.name;
      for (const cell of row.querySelectorAll("[data-field]")) fill(cell, values[cell.dataset.field]);
      return row;
    });
    const same = rows.length === this.#body.rows.length && rows.every((row, i) => row === this.#body.rows[i]);
    if (!same) this.#body.replaceChildren(...rows);
  }
}

function fill(cell, value) {
  if (cell.dataset.since !== undefined) cell.dataset.since = value ?? "";
  else if (cell.classList.contains("state")) state(cell, value);
  else if (cell.textContent !== String(value ?? "")) cell.textContent = value ?? "";
}

function state(element, value) {
  if (element.dataset.state === value) return;
  element.dataset.state = value;
  element.textContent = value;
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
