// How far a feed can be trusted now: what the server said last, and never more than its age allows.

export const UNKNOWN = "UNKNOWN";
export const LIVE = "LIVE";
const CLOSED = "CLOSED";
const GRACE_MS = 5_000; // the word that the market opened may be on its way
const WORSE = [LIVE, "DELAYED", "STALE", UNKNOWN, "DEAD"];

/**
 * The state after `ageMs` since the quote was made and `silentMs` since anything was heard; without
 * the server's limits nothing is known. Silence is held against the feed's own `bounds`. A closed
 * market is silent for good reason, until the moment the server named.
 */
export function aged({ told, bounds, deadlineMs }, { ageMs, silentMs, nowMs }, limits) {
  if (told === CLOSED) return deadlineMs !== null && nowMs > deadlineMs + GRACE_MS ? UNKNOWN : told;
  if (!told || limits === null) return UNKNOWN;
  const states = [told, byAge(ageMs / 1_000, limits), byAge(silentMs / 1_000, bounds ?? limits)];
  return WORSE[Math.max(...states.map((state) => WORSE.indexOf(state)))] ?? UNKNOWN;
}

function byAge(ageS, limits) {
  if (ageS >= limits.dead_after_s) return "DEAD";
  if (ageS >= limits.stale_after_s) return "STALE";
  if (ageS >= limits.delayed_after_s) return "DELAYED";
  return LIVE;
}
