// How far a feed can be trusted now: what the server said last, and never more than its age allows.

export const UNKNOWN = "UNKNOWN";
export const LIVE = "LIVE";
const CLOSED = "CLOSED";
const WORSE = [LIVE, "DELAYED", "STALE", UNKNOWN, "DEAD"];

/** The state after `ageMs` without news; without the server's limits nothing is known. */
export function aged(told, ageMs, limits) {
  if (told === CLOSED) return told; // a closed market is silent for good reason
  if (!told || limits === null) return UNKNOWN;
  return WORSE[Math.max(WORSE.indexOf(told), WORSE.indexOf(byAge(ageMs / 1_000, limits)))] ?? UNKNOWN;
}

function byAge(ageS, limits) {
  if (ageS >= limits.dead_after_s) return "DEAD";
  if (ageS >= limits.stale_after_s) return "STALE";
  if (ageS >= limits.delayed_after_s) return "DELAYED";
  return LIVE;
}
