// Keeps the session alive while the page is open, and leaves it on purpose.

import { ApiError, post } from "./api.js";

const REFRESH_MS = 8 * 60_000;

/** Renew now and then; `renewed` is called after each renewal. */
export function keepAlive(renewed) {
  const renew = async () => { if (await refresh()) renewed(); };
  setInterval(renew, REFRESH_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) renew(); });
}

let lastRefreshMs = Date.now();

/** Renew the access cookie, true when it was; a session that has ended goes to the login page. */
export async function refresh({ force = false } = {}) {
  if (!force && Date.now() - lastRefreshMs < REFRESH_MS / 2) return false;
  try {
    await post("/api/v1/auth/refresh");
    lastRefreshMs = Date.now();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) toLogin();
    return false;
  }
}

export async function logout() {
  try { await post("/api/v1/auth/logout"); } finally { toLogin(); }
}

function toLogin() {
  location.assign("/login");
}
