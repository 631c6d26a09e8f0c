// Log in with a password, or with the one-time code of a link (`/login#link=CODE`).

import { ApiError, post } from "./api.js";
import { forget, mayExist } from "./known_session.js";
import { renew } from "./renewal.js";
import { sign, supported } from "./security_keys.js";

const form = document.querySelector("#login");
const second = document.querySelector("#second");
const useKey = document.querySelector("#use-key");
let challenge = null;

function say(where, error) {
  const problem = where.querySelector(".problem");
  problem.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
  problem.hidden = false;
}

/** One step of the login: the terminal opens, or the second step is asked for. */
async function enter(where, path, body) {
  const button = where.querySelector("button");
  button.disabled = true;
  where.querySelector(".problem").hidden = true;
  try {
    const answer = await post(path, body);
    if (!answer?.second_factor) {
      location.replace("/");
      return;
    }
    challenge = answer.second_factor.challenge;
    useKey.hidden = !answer.second_factor.has_key || !supported();
    show(second);
  } catch (error) {
    say(where, error);
  }
  button.disabled = false;
}

function show(step) {
  form.hidden = step !== form;
  second.hidden = step !== second;
  step.querySelector("input:not([value])").focus();
}

second.addEventListener("submit", (event) => {
  event.preventDefault();
  const code = second.elements.code.value.trim();
  second.elements.code.value = "";
  if (code) enter(second, second.getAttribute("action"), { challenge, code });
});

useKey.addEventListener("click", async () => {
  second.querySelector(".problem").hidden = true;
  useKey.disabled = true;
  try {
    const key = await sign(await post("/api/v1/auth/second/key", { challenge }));
    await enter(second, second.getAttribute("action"), { challenge, key });
  } catch (error) {
    say(second, error);
  }
  useKey.disabled = false;
});

document.querySelector("#anew").addEventListener("click", () => {
  challenge = null;
  form.elements.password.value = "";
  show(form);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { tenant, username, password } = Object.fromEntries(new FormData(form));
  if (!tenant || !username || !password) {
    say(form, { message: "Organisation, user and password are all needed." });
    return;
  }
  enter(form, form.getAttribute("action"), { tenant, username, password });
});

/** A session that only lacks a fresh token needs no login; without one, nothing is asked. */
async function resume() {
  if (!mayExist()) return;
  try {
    await renew();
    location.replace("/");
  } catch (error) {
    if (error instanceof ApiError && [400, 401].includes(error.status)) forget();
  }
}

/** Use the code of a link, if there is one; it leaves the address bar at once. */
function follow() {
  const code = new URLSearchParams(location.hash.slice(1)).get("link");
  if (code) {
    history.replaceState(null, "", location.pathname);
    enter(form, "/api/v1/auth/link", { code });
  }
  return Boolean(code);
}

window.addEventListener("hashchange", follow); // a link opened where this page is already shown
if (!follow()) {
  resume();
}
