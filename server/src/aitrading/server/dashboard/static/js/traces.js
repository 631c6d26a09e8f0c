// Requests that failed, were refused or were slow, and a sample of the rest: a list, and each step by step.

import { get } from "./api.js";
import { clock, latency } from "./format.js";

const PAGE_SIZE = 50;
const ADDRESS = /^#trace=([0-9a-f]{32})$/;
const MAX_DEPTH = 8;

export class Traces {
  #dialog = document.querySelector("#traces");
  #told = document.querySelector("#traces-told");
  #list = document.querySelector("#traces-list");
  #row = document.querySelector("#trace-row");
  #steps = document.querySelector("#trace-steps");
  #step = document.querySelector("#trace-step");
  #head = document.querySelector("#trace-head");
  #more = document.querySelector("#traces-more");
  #only = document.querySelector("#traces-only");
  #next = null;
  #asked = 0;
  #shown = 0;

  start() {
    document.querySelector("#traces-open").addEventListener("click", () => this.open());
    document.querySelector("#traces-again").addEventListener("click", () => this.#ask(null));
    this.#more.addEventListener("click", () => this.#ask(this.#next));
    this.#only.addEventListener("change", () => this.#ask(null));
    this.#list.addEventListener("click", (event) => this.#chosen(event.target.closest("button")));
    addEventListener("hashchange", () => this.#follow());
    this.#follow();
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#ask(null);
  }

  /** `#trace=ID` in the address opens that trace: what an error told can be passed on. */
  #follow() {
    const wanted = ADDRESS.exec(location.hash);
    if (!wanted) return;
    history.replaceState(null, "", location.pathname);
    this.open();
    this.#show(wanted[1]);
  }

  /** An answer that another question overtook is thrown away. */
  async #ask(cursor) {
    const question = ++this.#asked;
    const query = new URLSearchParams({ limit: PAGE_SIZE });
    if (cursor) query.set("cursor", cursor);
    if (this.#only.value) query.set("outcome", this.#only.value);
    this.#told.textContent = "asking…";
    try {
      const { items, next_cursor } = await get(`/api/v1/traces?${query}`);
      if (question !== this.#asked) return;
      const rows = items.map((item) => this.#line(item));
      if (cursor) this.#list.append(...rows);
      else this.#list.replaceChildren(...rows);
      this.#next = next_cursor;
      this.#told.textContent = this.#list.children.length ? `as of ${clock(Date.now())} UTC` : "none is kept";
    } catch (error) {
      if (question !== this.#asked) return;
      this.#told.textContent = `unknown: ${error.message}`;
    }
    this.#more.hidden = !this.#next;
  }

  #line(item) {
    const row = this.#row.content.firstElementChild.cloneNode(true);
    const values = {
      time: `${item.began_at.slice(5, 10)} ${item.began_at.slice(11, 19)}`,
      took: `${latency(item.took_ms)} ms`,
      outcome: item.code ?? item.outcome,
      name: item.name,
    };
    for (const cell of row.querySelectorAll("[data-field]")) cell.textContent = values[cell.dataset.field];
    const button = row.querySelector("button");
    button.dataset.trace = item.trace_id;
    button.dataset.outcome = item.outcome;
    return row;
  }

  #chosen(button) {
    if (!button) return;
    for (const each of this.#list.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    this.#show(button.dataset.trace);
  }

  async #show(traceId) {
    const question = ++this.#shown;
    this.#head.textContent = traceId;
    try {
      const trace = await get(`/api/v1/traces/${traceId}`);
      if (question !== this.#shown) return;
      this.#draw(trace);
    } catch (error) {
      if (question !== this.#shown) return;
      this.#steps.replaceChildren();
      this.#head.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
    }
  }

  /** Nothing is drawn for what did not come; the line above says that something is missing. */
  #draw(trace) {
    const lost = [
      trace.missing.length ? `${trace.missing.length} steps did not come` : "",
      trace.cut ? `${trace.cut} steps were too many` : "",
    ].filter(Boolean).join(", ");
    const told = `${trace.trace_id} · ${latency(trace.took_ms)} ms · ${trace.outcome}`;
    this.#head.textContent = lost ? `${told} · INCOMPLETE: ${lost}` : told;
    this.#steps.replaceChildren(...trace.spans.map((span) => this.#drawn(span, trace.took_ms)));
    this.#head.scrollIntoView({ block: "nearest" });
  }

  #drawn(span, whole) {
    const row = this.#step.content.firstElementChild.cloneNode(true);
    const values = {
      name: span.name,
      service: span.orphan ? `${span.service} · caller unknown` : span.service,
      took: `${latency(span.took_ms)} ms`,
      code: span.outcome === "ok" ? "" : span.code ?? span.outcome,
    };
    for (const cell of row.querySelectorAll("[data-field]")) cell.textContent = values[cell.dataset.field];
    const bar = row.querySelector(".span-bar");
    const share = (ms) => `${whole > 0 ? Math.min(100, Math.max(0, (100 * ms) / whole)) : 0}%`;
    bar.style.marginLeft = share(Math.min(span.offset_ms, whole * 0.995));
    bar.style.width = share(span.took_ms);
    row.style.setProperty("--depth", Math.min(span.depth, MAX_DEPTH));
    row.dataset.outcome = span.outcome;
    row.dataset.kind = span.kind;
    const offset = `${latency(span.offset_ms)} ms after the begin`;
    row.title = [span.kind, offset, span.fingerprint ? `error ${span.fingerprint}` : ""].filter(Boolean).join(" · ");
    return row;
  }
}
