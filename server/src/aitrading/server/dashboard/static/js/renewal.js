// Renews the cookies of a session; a renewal whose answer was lost is asked again as the same one.

import { ApiError, post } from "./api.js";

let key = null; // of the renewal that has no answer yet

/** Raises `ApiError` when the server refuses, or when it could not be asked twice. */
export async function renew() {
  try {
    await attempt();
  } catch (error) {
    if (!unanswered(error)) throw error;
    await attempt();
  }
}

/** The server gives the same cookies again under the same key; under another it sees a theft. */
async function attempt() {
  key ??= crypto.randomUUID();
  try {
    await post("/api/v1/auth/refresh", {}, key);
    key = null;
  } catch (error) {
    if (!unanswered(error)) key = null;
    throw error;
  }
}

function unanswered(error) {
  return error instanceof ApiError && (error.status === 0 || error.status >= 500);
}
