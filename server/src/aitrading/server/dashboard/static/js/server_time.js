// The server's clock, estimated from its answers: ages must not depend on this machine's clock.

let offsetMs = 0;
let bestRoundTripMs = Infinity;

/** Take a server time that was read somewhere between the two local moments. */
export function observe(serverTime, sentMs, receivedMs) {
  const roundTrip = receivedMs - sentMs;
  if (roundTrip > bestRoundTripMs * 2 && roundTrip > 50) return;
  bestRoundTripMs = Math.min(bestRoundTripMs * 1.1, roundTrip);
  offsetMs = Date.parse(serverTime) - (sentMs + receivedMs) / 2;
}

export function nowMs() {
  return Date.now() + offsetMs;
}
