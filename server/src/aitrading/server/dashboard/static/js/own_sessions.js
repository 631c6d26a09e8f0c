// Where you are logged in: each login that lives, and ending what should not be there.

import { get, remove } from "./api.js";

const SESSIONS = "/api/v1/auth/sessions";
const HOW = new Map([["pwd", "password"], ["link", "login link"], ["mfa", "second factor"], ["host", "the host"]]);

export class OwnSessions {
  #list;
  #others;
  #problem;

  constructor(section) {
    this.#list = section.querySelector("ul");
    this.#others = section.querySelector("button");
    this.#problem = section.querySelector(".problem");
    this.#others.addEventListener("click", () => this.#try(() => remove(SESSIONS)));
  }

  async show() {
    await this.#try(async () => {});
  }

  /** Do it, then show what there is. */
  async #try(action) {
    this.#problem.hidden = true;
    try {
      await action();
      const { items } = await get(SESSIONS);
      this.#list.replaceChildren(...items.map((one) => this.#line(one)));
      this.#others.hidden = items.length < 2;
    } catch (error) {
      this.#problem.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
      this.#problem.hidden = false;
    }
  }

  #line(one) {
    const line = document.createElement("li");
    const told = document.createElement("span");
    const used = one.used_at ? `, renewed ${minute(one.used_at)}` : "";
    const network = one.network ? `, ${one.network} network` : "";
    told.textContent = `${HOW.get(one.authentication) ?? one.authentication}, since ${minute(one.began_at)}${used}${network}`;
    line.append(told);
    if (one.current) {
      const here = document.createElement("b");
      here.textContent = "this one";
      line.append(here);
    } else {
      const end = document.createElement("button");
      end.type = "button";
      end.textContent = "End";
      end.setAttribute("aria-label", `End the session since ${minute(one.began_at)}`);
      end.addEventListener("click", () => this.#try(() => remove(`${SESSIONS}/${one.id}`)));
      line.append(end);
    }
    return line;
  }
}

function minute(moment) {
  return `${moment.slice(0, 16).replace("T", " ")}Z`;
}
