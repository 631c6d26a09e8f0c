// Security events of the organisation, for who may audit: the newest by themselves, older ones page by page.

import { get } from "./api.js";
import { age, clock } from "./format.js";

const PERIOD_MS = 15_000;
const PAGE_SIZE = 25;

export class SecurityEvents {
  #panel = document.querySelector("#security");
  #body = this.#panel?.querySelector("tbody");
  #row = document.querySelector("#security-row");
  #told = document.querySelector("#security-told");
  #older = document.querySelector("#security-older");
  #newest = document.querySelector("#security-newest");
  #cursor = null;
  #next = null;
  #asOfMs = null;
  #problem = "";
  #asked = 0;

  /** Nothing where the server left the panel out; the server refuses the question as well. */
  start() {
    if (!this.#panel) return;
    this.#older.addEventListener("click", () => this.#turnTo(this.#next));
    this.#newest.addEventListener("click", () => this.#turnTo(null));
    setInterval(() => this.#say(), 500);
    this.#keepNewest();
  }

  async #keepNewest() {
    if (this.#cursor === null) await this.#ask(null);
    setTimeout(() => this.#keepNewest(), PERIOD_MS);
  }

  #turnTo(cursor) {
    this.#cursor = cursor;
    this.#ask(cursor);
  }

  /** An answer that another question overtook is thrown away. */
  async #ask(cursor) {
    const question = ++this.#asked;
    try {
      const page = await get(`/api/v1/security-events?limit=${PAGE_SIZE}${cursor ? `&cursor=${cursor}` : ""}`);
      if (question !== this.#asked) return;
      [this.#problem, this.#asOfMs, this.#next] = ["", Date.now(), page.next_cursor];
      this.#body.replaceChildren(...page.items.map((item) => this.#line(item)));
    } catch (error) {
      if (question !== this.#asked) return;
      this.#problem = error.message;
    }
    this.#say();
  }

  #line(item) {
    const row = this.#row.content.firstElementChild.cloneNode(true);
    const details = Object.entries(item.details).map(([name, value]) => `${name} ${value}`).join(" · ");
    const moment = new Date(item.occurred_at);
    const values = {
      time: `${moment.toISOString().slice(0, 10)} ${clock(moment.getTime())}`,
      outcome: item.outcome,
      action: item.action,
      actor: item.actor,
      subject: item.subject,
      details,
    };
    for (const cell of row.querySelectorAll("[data-field]")) cell.textContent = values[cell.dataset.field];
    row.querySelector(".outcome").dataset.outcome = item.outcome;
    row.title = `${item.actor} · ${item.subject} · ${details}`;
    return row;
  }

  #say() {
    const seen = this.#asOfMs === null ? "since this page was opened" : `for ${age(Date.now() - this.#asOfMs)}`;
    const where = this.#cursor === null ? "newest" : "older";
    const told = this.#asOfMs === null ? "asking…" : `${where}, seen ${age(Date.now() - this.#asOfMs)} ago`;
    this.#told.textContent = this.#problem ? `UNKNOWN ${seen}: ${this.#problem}` : told;
    this.#panel.dataset.state = this.#problem ? "unknown" : "known";
    this.#older.disabled = !this.#next;
    this.#newest.disabled = this.#cursor === null;
  }
}
