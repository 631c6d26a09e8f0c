// The certificate of one symbol and day: what is stored of what the devices counted, and the signed text to keep.

import { get } from "./api.js";
import { moment } from "./format.js";
import { state } from "./keyed_table.js";

const TIMEOUT_MS = 60_000; // a large day is read completely
const EXAMPLES = 5;

const count = (number) => number.toLocaleString("en");

export class Certificate {
  #of = document.querySelector("#certificate-of");
  #text = document.querySelector("#certificate-text");
  #state = document.querySelector("#certificate-state");
  #told = document.querySelector("#certificate-told");
  #streams = document.querySelector("#certificate-streams");
  #stream = document.querySelector("#certificate-stream");
  #keep = document.querySelector("#certificate-keep");
  #answer = null;
  #asked = 0;

  constructor() {
    this.#keep.querySelector("button").addEventListener("click", () => this.#download());
  }

  /** An answer that another question overtook is thrown away. */
  async show(symbol, day) {
    const question = ++this.#asked;
    this.#of.textContent = `${symbol} on ${day}`;
    this.#clear("reading the day…");
    try {
      const asked = new URLSearchParams({ symbol, day });
      const answer = await get(`/api/v1/feeds/certificate?${asked}`, { timeoutMs: TIMEOUT_MS });
      if (question === this.#asked) this.#draw(answer);
    } catch (error) {
      if (question !== this.#asked) return;
      this.#clear([error.message, error.remedy].filter(Boolean).join(" "));
      this.#verdict("not proved", "UNKNOWN");
    }
  }

  #clear(told) {
    this.#answer = null;
    this.#verdict("", "");
    this.#told.textContent = told;
    this.#streams.replaceChildren();
    this.#keep.hidden = true;
  }

  #verdict(text, word) {
    this.#text.textContent = text;
    this.#text.dataset.state = word;
    state(this.#state, word);
  }

  #draw(answer) {
    const { certificate } = answer;
    this.#answer = answer;
    this.#verdict(certificate.text, certificate.state);
    const told = [meaning(certificate), doubted(certificate), `made ${moment(certificate.made_at)} UTC`];
    this.#told.textContent = told.filter(Boolean).join(" · ");
    this.#streams.replaceChildren(...certificate.streams.map((each) => this.#drawn(each)));
    this.#keep.hidden = false;
  }

  #drawn(each) {
    const item = this.#stream.content.firstElementChild.cloneNode(true);
    const values = {
      stored: `${count(each.stored)} of ${each.counted === null ? "?" : count(each.counted)}`,
      about: `${each.broker} · device ${each.device.slice(0, 8)} · stream ${each.stream.slice(0, 8)}, epoch ${each.epoch}${each.quarantined ? ` · ${doubted(each)}` : ""}`,
      digest: each.digest_stored,
      state: each.state,
    };
    for (const cell of item.querySelectorAll("[data-field]")) {
      if (cell.classList.contains("state")) state(cell, each.state);
      else cell.textContent = values[cell.dataset.field];
    }
    const gaps = each.open_gaps.length;
    const lines = each.findings.map(finding);
    if (gaps) lines.push(`${gaps} open ${gaps === 1 ? "gap" : "gaps"} in time ${gaps === 1 ? "touches" : "touch"} this day`);
    item.querySelector("ul").replaceChildren(...lines.map(line));
    item.querySelector('[data-field="about"]').title = `device ${each.device}, stream ${each.stream}`;
    item.querySelector('[data-field="digest"]').title = "Digest of what is stored; the device's own is in the certificate";
    return item;
  }

  #download() {
    const { certificate: { symbol, day }, signed } = this.#answer;
    const address = URL.createObjectURL(new Blob([signed, "\n"], { type: "application/jose" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `certificate-${symbol.replaceAll(/[^\w.-]/g, "_")}-${day}.jws`;
    link.click();
    URL.revokeObjectURL(address);
  }
}

function meaning({ state: word, streams }) {
  if (streams.length === 0) return "no device counted or sent a tick of that day";
  if (word === "COMPLETE") return "the day is over and every counted tick is stored, digit by digit";
  if (word === "OPEN") return "the day is not over; every tick counted so far is stored";
  return "something is not as the devices counted it";
}

/** What is in quarantine is stored, and counts. */
function doubted({ quarantined }) {
  return quarantined ? `${count(quarantined)} of them in quarantine` : "";
}

function finding({ what, ticks, text, sequences }) {
  const where = sequences.slice(0, EXAMPLES).map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`));
  if (sequences.length > EXAMPLES) where.push("…");
  return [what, ticks ? `${count(ticks)} ticks` : "", text, where.length ? `at ${where.join(", ")}` : ""].filter(Boolean).join(" · ");
}

function line(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}
