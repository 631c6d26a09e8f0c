// Your own password: the old one and the new one; your other sessions end, this one goes on.

import { post } from "./api.js";
import { refresh } from "./session.js";
import { careful } from "./step_up.js";

export class OwnPassword {
  #form;
  #problem;
  #told;

  constructor(form) {
    this.#form = form;
    this.#problem = form.querySelector(".problem");
    this.#told = form.querySelector(".told");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#change();
    });
  }

  /** What was typed leaves the page with the dialog. */
  forget() {
    this.#form.reset();
    this.#tell("", "");
  }

  async #change() {
    const wanted = { old_password: this.#form.elements.old.value, new_password: this.#form.elements.new.value };
    this.forget();
    try {
      const changed = await careful(() => post("/api/v1/auth/password", wanted));
      if (!changed) return;
      await refresh({ force: true });
      this.#tell("", `Changed. Your other sessions that ended: ${changed.sessions_ended}.`);
    } catch (error) {
      this.#tell([error.message, error.remedy].filter(Boolean).join(" "), "");
    }
  }

  #tell(problem, told) {
    this.#problem.textContent = problem;
    this.#problem.hidden = !problem;
    this.#told.textContent = told;
    this.#told.hidden = !told;
  }
}
