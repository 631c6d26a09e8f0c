// Keeps the session alive while the page is open, and leaves it on purpose.

import { ApiError, post } from "./api.js";
import { clearPage } from "./clearing.js";
import { forget, remember } from "./known_session.js";
import { renew } from "./renewal.js";

const REFRESH_MS = 8 * 60_000;
const IDLE_MS = 7 * 24 * 3_600_000; // without a renewal the server ends the session after that

/** Renew now and then; `renewed` is called after each renewal. */
export function keepAlive(renewed) {
  remember();
  const renewInTime = async () => {
    if (await refresh()) renewed();
    if (Date.now() - lastRefreshMs >= IDLE_MS) {
      forget();
      clearPage("LOGGED OUT", "Nothing was heard from the server for seven days: the session is over.");
    }
  };
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

/** End the session; the page is empty afterwards, and says so where the server did not do its part. */
export async function logout() {
  const end = () => post("/api/v1/auth/logout");
  try {
    if (!await accepted(end) && await accepted(renew)) {
      await end(); // only the access token was over, not the session
    }
  } catch (error) {
    const why = [error.message, error.remedy].filter(Boolean).join(" ");
    clearPage("STILL LOGGED IN", `${why} What this page showed is gone from it. Open it again to log out.`);
    return;
  }
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
  forget();
  location.replace("/login");
}
