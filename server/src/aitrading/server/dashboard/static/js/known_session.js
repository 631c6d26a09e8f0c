// Whether this browser may hold a session: scripts cannot see its cookies, so they remember.

const KEY = "aitrading.session";

export function remember() {
  try { localStorage.setItem(KEY, "open"); } catch { /* private window: the person logs in again */ }
}

export function forget() {
  try { localStorage.removeItem(KEY); } catch { /* nothing was remembered */ }
}

export function mayExist() {
  try { return localStorage.getItem(KEY) !== null; } catch { return false; }
}
