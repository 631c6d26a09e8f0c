// A table that is asked for page by page. What did not come is said, and what is old is grey.

import { get } from "./api.js";
import { clock } from "./format.js";
import { state } from "./keyed_table.js";
import { nowMs } from "./server_time.js";

export class PagedTable {
  #root;
  #path;
  #line;
  #none;
  #body;
  #row;
  #told;
  #first;
  #following;
  #items = [];
  #next = null;
  #query = {};
  #asked = 0;

  /** `line` gives an item's texts by field; `none` is said of an empty list; a row's button gives its item to `choose`. */
  constructor(root, { path, line, none, choose, pageSize = 50 }) {
    [this.#root, this.#path, this.#line, this.#none] = [root, path, line, none];
    this.pageSize = pageSize;
    this.#body = root.querySelector("tbody");
    this.#row = root.querySelector("template");
    this.#told = root.querySelector("[data-told]");
    this.#first = root.querySelector('[data-page="first"]');
    this.#following = root.querySelector('[data-page="next"]');
    this.#first.addEventListener("click", () => this.#ask(null));
    this.#following.addEventListener("click", () => this.#ask(this.#next));
    this.#body.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-choose]");
      if (button) choose(this.#items[button.closest("tr").sectionRowIndex], button);
    });
  }

  /** The first page of what `query` names. */
  show(query) {
    this.#query = query;
    this.#ask(null);
  }

  /** An answer that another question overtook is thrown away. */
  async #ask(cursor) {
    const question = ++this.#asked;
    const asked = new URLSearchParams({ ...this.#query, limit: this.pageSize });
    if (cursor) asked.set("cursor", cursor);
    this.#told.textContent = "asking…";
    try {
      const { items, next_cursor: next } = await get(`${this.#path}?${asked}`);
      if (question !== this.#asked) return;
      this.#next = next;
      this.#items = items;
      this.#body.replaceChildren(...items.map((item) => this.#drawn(item)));
      this.#root.querySelector(".scroll").scrollTop = 0;
      this.#say("known", items.length ? `as of ${clock(nowMs())} UTC` : this.#none);
    } catch (error) {
      if (question !== this.#asked) return;
      this.#say("unknown", `UNKNOWN: ${[error.message, error.remedy].filter(Boolean).join(" ")}`);
    }
    this.#first.disabled = !cursor;
    this.#following.disabled = !this.#next;
  }

  #say(known, text) {
    this.#root.dataset.state = known;
    this.#told.textContent = text;
  }

  #drawn(item) {
    const row = this.#row.content.firstElementChild.cloneNode(true);
    const values = this.#line(item);
    for (const cell of row.querySelectorAll("[data-field]")) {
      const value = values[cell.dataset.field] ?? "";
      if (cell.classList.contains("state")) state(cell, value);
      else cell.textContent = value;
    }
    return row;
  }
}
