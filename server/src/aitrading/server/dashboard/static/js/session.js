// Keeps the session alive while the page is open, and leaves it on purpose.

import { ApiError, post } from "./api.js";
import { forget, remember } from "./known_session.js";
import { renew } from "./renewal.js";

const REFRESH_MS = 8 * 60_000;

/** Renew now and then; `renewed` is called after each renewal. */
export function keepAlive(renewed) {
  remember();
  const renewInTime = async () => { if (await refresh()) renewed(); };
  setInterval(renewInTime, REFRESH_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) renewInTime(); });
}

let lastRefreshMs = Date.now();

/** Renew the access cookie, true when it was; a session that has ended goes to the login page. */
export async function refresh({ force = false } = {}) {
  if (!force && Date.now() - lastRefreshMs < REFRESH_MS / 2) return false;
  try {
    await renew();
    lastRefreshMs = Date.now();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) toLogin();
    return false;
  }
}

/** End the session; where the server did not do so, throw: whoever leaves must not believe it. */
export async function logout() {
  const end = () => post("/api/v1/auth/logout");
  if (!await accepted(end) && await accepted(renew)) {
    await end(); // only the access token was over, not the session
  }
  forget();
  toLogin();
}

/** Ask; false when the server knows nobody by these cookies. */
async function accepted(ask) {
  try {
    await ask();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

function toLogin() {
  location.assign("/login");
}
