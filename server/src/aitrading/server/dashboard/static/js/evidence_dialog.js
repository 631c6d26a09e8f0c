// Evidence on demand: the certificate of a symbol and day, what is missing, and what was not believed.

import { Certificate } from "./certificate.js";
import { moment, words } from "./format.js";
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
  #quarantine = new PagedTable(document.querySelector("#quarantine"), {
    path: "/api/v1/feeds/quarantine", line: dayLine, none: "none: every tick was believed",
    choose: (day, button) => this.#lookInto(day, button),
  });
  #doubted = new PagedTable(document.querySelector("#doubted"), {
    path: "/api/v1/feeds/quarantine/ticks", line: tickLine, none: "none any more", pageSize: 100,
  });
  #doubtedOf = document.querySelector("#doubted-of");
  #back = document.querySelector("#doubted-back");
  #cameFrom = null;
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
    this.#back.addEventListener("click", () => this.#leave());
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
    this.#quarantine.show(only);
    this.#turn(false);
  }

  /** A tick may have any time, so its stream is asked for and not the day on which it came. */
  #lookInto({ symbol, stream }, button) {
    this.#cameFrom = button;
    this.#doubtedOf.textContent = `${symbol}, stream ${stream.slice(0, 8)}`;
    this.#turn(true);
    this.#back.focus();
    this.#doubted.show({ symbol, stream });
  }

  #leave() {
    this.#turn(false);
    this.#cameFrom?.focus();
  }

  #turn(toTicks) {
    document.querySelector("#quarantine").hidden = toTicks;
    document.querySelector("#doubted").hidden = !toTicks;
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

function dayLine({ symbol, day, ticks, reasons }) {
  const why = Object.entries(reasons).map(([name, number]) => `${number.toLocaleString("en")} ${words(name)}`);
  return { symbol, day, ticks: ticks.toLocaleString("en"), reasons: why.join(" · ") };
}

function tickLine(tick) {
  return { ...tick, time: timeOf(tick), reasons: tick.reasons.map(words).join(" · ") };
}

/** A broker can send a time that is no date, and one that a number here cannot hold. */
function timeOf({ time, event_ms: ms }) {
  if (time !== null) return `${time.slice(0, 10)} ${time.slice(11, 23)}`;
  return Number.isSafeInteger(ms) ? `no date: ${ms} ms` : "no date";
}

function missing({ first_sequence: first, last_sequence: last, from_time: from, until_time: until }) {
  if (first !== null) return first === last ? `${first}` : `${first}–${last}`;
  const begin = from === null ? "…" : moment(from);
  if (until === null) return `${begin} – now`;
  const sameDay = from !== null && from.slice(0, 10) === until.slice(0, 10);
  return `${begin} – ${sameDay ? moment(until).slice(11) : moment(until)}`;
}
