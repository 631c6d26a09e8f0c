// Tables whose rows keep their identity, so that a selection and a tooltip survive an update.

/** Rows by key, cloned from a template that the server rendered with the same macro. */
export class KeyedTable {
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

/** Show a state by its word and its colour. */
export function state(element, value) {
  if (element.dataset.state === value) return;
  element.dataset.state = value;
  element.textContent = value;
}
