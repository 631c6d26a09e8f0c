// Evidence on demand: the certificate of a symbol and day, and the ledger of what is missing.

import { Certificate } from "./certificate.js";
import { moment } from "./format.js";
import { PagedTable } from "./paged_table.js";
import { nowMs } from "./server_time.js";

export class EvidenceDialog {
  #dialog = document.querySelector("#evidence");
  #form = document.querySelector("#evidence-ask");
  #only = document.querySelector("#evidence-only");
  #known = document.querySelector("#evidence-symbols");
  #which = document.querySelectorAll("#gaps [data-open]");
  #certificate = new Certificate();
  #gaps = new PagedTable(document.querySelector("#gaps"), { path: "/api/v1/feeds/gaps", line: gapLine, none: "none" });
  #symbols;

  /** `symbols` gives those that the page knows; any other may be typed. */
  constructor(symbols) {
    this.#symbols = symbols;
  }

  start() {
    document.querySelector("#evidence-open").addEventListener("click", () => this.open());
    document.querySelector("#day-proof").addEventListener("click", () => this.open());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#only.addEventListener("change", () => this.#list());
    for (const button of this.#which) button.addEventListener("click", () => this.#choose(button));
  }

  /** The symbol that is looked at elsewhere on the page. */
  look(symbol) {
    if (!this.#dialog.open) this.#form.elements.symbol.value = symbol;
  }

  open() {
    const { day } = this.#form.elements;
    const today = new Date(nowMs()).toISOString().slice(0, 10);
    day.max = today;
    day.value ||= today;
    this.#known.replaceChildren(...this.#symbols().map((symbol) => new Option(symbol, symbol)));
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#ask();
  }

  #ask() {
    const { symbol, day } = this.#form.elements;
    if (symbol.value.trim() && day.value) this.#certificate.show(symbol.value.trim(), day.value);
    this.#list();
  }

  #choose(button) {
    for (const each of this.#which) each.setAttribute("aria-pressed", String(each === button));
    this.#list();
  }

  #list() {
    const symbol = this.#form.elements.symbol.value.trim();
    const only = this.#only.checked && symbol ? { symbol } : {};
    const { open } = [...this.#which].find((each) => each.getAttribute("aria-pressed") === "true").dataset;
    this.#gaps.show({ ...only, open });
  }
}

function gapLine(gap) {
  return {
    symbol: gap.symbol,
    state: gap.state,
    missing: missing(gap),
    reason: gap.reason,
    noticed: moment(gap.noticed_at),
    repair: gap.problem || (gap.repaired_ticks === null ? "" : `${gap.repaired_ticks} ticks fetched again`),
  };
}

function missing({ first_sequence: first, last_sequence: last, from_time: from, until_time: until }) {
  if (first !== null) return first === last ? `${first}` : `${first}–${last}`;
  const begin = from === null ? "…" : moment(from);
  if (until === null) return `${begin} – now`;
  const sameDay = from !== null && from.slice(0, 10) === until.slice(0, 10);
  return `${begin} – ${sameDay ? moment(until).slice(11) : moment(until)}`;
}
