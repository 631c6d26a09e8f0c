// Your second factors: an authenticator app, and recovery codes for when it is lost.

import { get, post, remove } from "./api.js";
import { careful } from "./step_up.js";

const FACTORS = "/api/v1/auth/factors";

export class Account {
  #dialog = document.querySelector("#account");
  #state = document.querySelector("#account-state");
  #begun = document.querySelector("#account-begun");
  #codes = document.querySelector("#account-codes");
  #problem = document.querySelector("#account-problem");

  start() {
    document.querySelector("#account-open").addEventListener("click", () => this.#open());
    this.#on("#account-set-up", () => this.#setUp());
    this.#on("#account-remove", () => this.#remove());
    this.#on("#account-new-codes", () => this.#newCodes());
    this.#begun.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(() => this.#confirm());
    });
    this.#dialog.addEventListener("close", () => this.#forget());
  }

  #on(button, action) {
    document.querySelector(button).addEventListener("click", () => this.#try(action));
  }

  async #try(action) {
    this.#problem.hidden = true;
    try {
      await action();
    } catch (error) {
      this.#problem.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
      this.#problem.hidden = false;
    }
  }

  async #open() {
    this.#forget();
    this.#dialog.showModal();
    await this.#try(() => this.#show());
  }

  /** What was told once leaves the page with the dialog. */
  #forget() {
    this.#begun.hidden = true;
    this.#begun.querySelector("path").setAttribute("d", "");
    this.#begun.querySelector("code").textContent = "";
    this.#codes.hidden = true;
    this.#codes.querySelector("ol").replaceChildren();
    this.#problem.hidden = true;
  }

  async #show() {
    const { totp_since: since, recovery_codes_left: left } = await get(FACTORS);
    this.#state.textContent = since
      ? `Authenticator app since ${since.slice(0, 10)}. Recovery codes left: ${left}.`
      : "Your password alone logs in. With an authenticator app a stolen password is not enough.";
    this.#state.dataset.state = since ? "good" : "warn";
    document.querySelector("#account-set-up").hidden = Boolean(since);
    document.querySelector("#account-remove").hidden = !since;
    document.querySelector("#account-new-codes").hidden = !since;
  }

  async #setUp() {
    const begun = await careful(() => post(`${FACTORS}/totp`));
    if (!begun) return;
    const svg = this.#begun.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${begun.qr.size} ${begun.qr.size}`);
    svg.querySelector("path").setAttribute("d", begun.qr.path);
    this.#begun.querySelector("code").textContent = begun.secret.match(/.{1,4}/g).join(" ");
    document.querySelector("#account-set-up").hidden = true;
    this.#begun.hidden = false;
    this.#begun.elements.code.focus();
  }

  async #confirm() {
    const code = this.#begun.elements.code.value.trim();
    this.#begun.elements.code.value = "";
    const made = await careful(() => post(`${FACTORS}/totp/confirm`, { code }));
    if (!made) return;
    this.#forget();
    this.#tell(made.recovery_codes);
    await this.#show();
  }

  async #remove() {
    if (await careful(async () => { await remove(`${FACTORS}/totp`); return true; })) {
      this.#forget();
      await this.#show();
    }
  }

  async #newCodes() {
    const made = await careful(() => post(`${FACTORS}/recovery-codes`));
    if (!made) return;
    this.#tell(made.recovery_codes);
    await this.#show();
  }

  #tell(codes) {
    const lines = codes.map((code) => {
      const line = document.createElement("li");
      line.textContent = code;
      return line;
    });
    this.#codes.querySelector("ol").replaceChildren(...lines);
    this.#codes.hidden = lines.length === 0;
  }
}
