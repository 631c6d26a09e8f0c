// Log in with a password, or with the one-time code of a link (`/login#link=CODE`).

import { ApiError, post } from "./api.js";
import { forget, mayExist } from "./known_session.js";

const form = document.querySelector("#login");
const problem = document.querySelector("#problem");
const button = form.querySelector("button");

function say(error) {
  problem.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
  problem.hidden = false;
}

async function enter(path, body) {
  button.disabled = true;
  problem.hidden = true;
  try {
    await post(path, body);
    location.replace("/");
  } catch (error) {
    say(error);
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { tenant, username, password } = Object.fromEntries(new FormData(form));
  if (!tenant || !username || !password) {
    say({ message: "Organisation, user and password are all needed." });
    return;
  }
  enter(form.getAttribute("action"), { tenant, username, password });
});

/** A session that only lacks a fresh token needs no login; without one, nothing is asked. */
async function resume() {
  if (!mayExist()) return;
  try {
    await post("/api/v1/auth/refresh");
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
    enter("/api/v1/auth/link", { code });
  }
  return Boolean(code);
}

window.addEventListener("hashchange", follow); // a link opened where this page is already shown
if (!follow()) {
  resume();
}
