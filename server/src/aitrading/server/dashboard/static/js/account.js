// Your second factors: an authenticator app, security keys, and recovery codes for when they are lost;
// your password; your sessions.

import { get, post, remove } from "./api.js";
import { OwnPassword } from "./own_password.js";
import { OwnSessions } from "./own_sessions.js";
import { make, supported } from "./security_keys.js";
import { careful } from "./step_up.js";

const FACTORS = "/api/v1/auth/factors";
const ME = "/api/v1/auth/me";
const ALONE = "Your password alone logs in. With an authenticator app or a security key a stolen password is not enough.";
const MISSING = "Your organisation asks for a second factor. Set one up here; until then nothing else is open to you.";
const AGAIN = "Your organisation asks for a second factor, and you have one: log out, and log in with it.";

/** Without an answer nothing is asked for: the services decide, not the page. */
const whoIsHere = () => get(ME).catch(() => ({}));

export class Account {
  #dialog = document.querySelector("#account");
  #state = document.querySelector("#account-state");
  #begun = document.querySelector("#account-begun");
  #keys = document.querySelector("#account-keys");
  #newKey = document.querySelector("#account-key");
  #codes = document.querySelector("#account-codes");
  #problem = document.querySelector("#account-problem");
  #password = new OwnPassword(document.querySelector("#account-password"));
  #sessions = new OwnSessions(document.querySelector("#account-sessions"));

  start() {
    document.querySelector("#account-open").addEventListener("click", () => this.#open());
    this.#on("#account-set-up", () => this.#setUp());
    this.#on("#account-remove", () => this.#removed(`${FACTORS}/totp`));
    this.#on("#account-new-codes", () => this.#newCodes());
    this.#on("#account-add-key", () => this.#nameKey());
    this.#newKey.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(() => this.#addKey());
    });
    this.#begun.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(() => this.#confirm());
    });
    this.#dialog.addEventListener("close", () => this.#forget());
  }

  /** Whoever may do nothing before there is a second factor is brought here at once. */
  async isBarred() {
    const { second_factor_missing: barred = false } = await whoIsHere();
    if (barred && !this.#dialog.open) this.#open();
    return barred;
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
    await Promise.all([this.#try(() => this.#show()), this.#sessions.show()]);
  }

  /** What was told once leaves the page with the dialog. */
  #forget() {
    this.#begun.hidden = true;
    this.#begun.querySelector("path").setAttribute("d", "");
    this.#begun.querySelector("code").textContent = "";
    this.#newKey.hidden = true;
    this.#codes.hidden = true;
    this.#codes.querySelector("ol").replaceChildren();
    this.#problem.hidden = true;
    this.#password.forget();
  }

  async #show() {
    const [state, me] = await Promise.all([get(FACTORS), whoIsHere()]);
    const { totp_since: since, recovery_codes_left: left, security_keys: keys, keys_for: here } = state;
    const told = [
      since && `Authenticator app since ${since.slice(0, 10)}.`,
      keys.length && `Security keys: ${keys.length}.`,
    ].filter(Boolean);
    const has = told.length && `${told.join(" ")} Recovery codes left: ${left}.`;
    const missing = me.second_factor_missing;
    this.#state.textContent = missing ? [has, has ? AGAIN : MISSING].filter(Boolean).join(" ") : has || ALONE;
    this.#state.dataset.state = has && !missing ? "good" : "warn";
    document.querySelector("#account-set-up").hidden = Boolean(since);
    document.querySelector("#account-remove").hidden = !since;
    document.querySelector("#account-new-codes").hidden = !told.length;
    document.querySelector("#account-add-key").hidden = !here || !supported();
    this.#keys.replaceChildren(...keys.map((key) => this.#line(key)));
  }

  #line({ id, name, host, added_at: added, used_at: used }) {
    const line = document.createElement("li");
    const text = document.createElement("span");
    const button = document.createElement("button");
    text.textContent = `${name} · ${host} · since ${added.slice(0, 10)}${used ? `, used ${used.slice(0, 10)}` : ""}`;
    button.type = "button";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove the key ${name}`);
    button.addEventListener("click", () => this.#try(() => this.#removed(`${FACTORS}/keys/${id}`)));
    line.append(text, button);
    return line;
  }

  #nameKey() {
    this.#newKey.hidden = false;
    this.#newKey.elements.name.focus();
  }

  async #addKey() {
    const name = this.#newKey.elements.name.value.trim() || "security key";
    const options = await careful(() => post(`${FACTORS}/keys/options`));
    if (!options) return;
    const key = await make(options);
    const made = await careful(() => post(`${FACTORS}/keys`, { name, key }));
    if (!made) return;
    this.#newKey.elements.name.value = "";
    this.#forget();
    this.#tell(made.recovery_codes);
    await this.#show();
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

  async #removed(path) {
    if (await careful(async () => { await remove(path); return true; })) {
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
