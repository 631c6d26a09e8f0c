// Keeps the session alive while the page is open, and leaves it on purpose.

import { ApiError, post } from "./api.js";

const REFRESH_MS = 8 * 60_000;

export function keepAlive() {
  setInterval(() => { refresh(); }, REFRESH_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
}

let lastRefreshMs = Date.now();

/** Renew the access cookie; a session that has ended goes to the login page. */
export async function refresh({ force = false } = {}) {
  if (!force && Date.now() - lastRefreshMs < REFRESH_MS / 2) return true;
  try {
    await post("/api/v1/auth/refresh");
    lastRefreshMs = Date.now();
    return true;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) toLogin();
    return false;
  }
}

export async function logout() {
  try { await post("/api/v1/auth/logout"); } finally { toLogin(); }
}

function toLogin() {
  location.assign("/login");
}
