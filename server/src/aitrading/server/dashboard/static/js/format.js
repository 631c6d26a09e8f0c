// Numbers and times as the terminal shows them. Prices stay the server's decimal strings.

/** Split a decimal string into what is read first (pips) and what is read last. */
export function priceParts(price) {
  const dot = price.indexOf(".");
  const decimals = dot < 0 ? 0 : price.length - dot - 1;
  const pipette = decimals === 5 || decimals === 3 ? 1 : 0;
  const pipsEnd = price.length - pipette;
  const pipsStart = Math.max(pipsEnd - 2, dot + 1);
  return [price.slice(0, pipsStart), price.slice(pipsStart, pipsEnd), price.slice(pipsEnd)];
}

/** A decimal string as a whole number of its own points; exact, because prices are. */
export function points(price) {
  return Number(price.replace(".", ""));
}

export function decimalsOf(price) {
  const dot = price.indexOf(".");
  return dot < 0 ? 0 : price.length - dot - 1;
}

export function age(ms) {
  if (ms < 0) return "0.0s";
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) return `${hours}h ${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}m`;
  return `${Math.floor(hours / 24)}d`;
}

export function signed(value) {
  if (value === 0) return "0";
  return value > 0 ? `+${value}` : `−${-value}`;
}

export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

/** Day and time of a moment as the server writes it. */
export function moment(text) {
  return `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

/** A name of the server's as people write it: `TIME_BACK` is "time back". */
export function words(name) {
  return name.toLowerCase().replaceAll("_", " ");
}

export function number(value, digits) {
  return value === null || value === undefined || value === "" ? "" : Number(value).toFixed(digits);
}

/** Milliseconds in the digits that matter. */
export function latency(ms) {
  if (ms === null || ms === undefined) return "";
  return ms.toFixed(ms >= 1000 ? 0 : ms >= 100 ? 1 : 2);
}
