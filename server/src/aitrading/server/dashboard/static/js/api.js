// Requests to this installation's own API; every failure carries the server's code and remedy.

export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.remedy = error.remedy ?? "";
    this.retryAfter = error.retryAfter ?? null;
  }
}

const TIMEOUT_MS = 8_000;

export async function get(path, { timeoutMs = TIMEOUT_MS } = {}) {
  return request(path, { method: "GET" }, timeoutMs);
}

/** Under a `key` of the caller's, a repeat is known as one; else each call is a new write. */
export async function post(path, body, key = crypto.randomUUID()) {
  const headers = { "content-type": "application/json", "idempotency-key": key };
  return request(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
}

export async function remove(path) {
  return request(path, { method: "DELETE", headers: { "idempotency-key": crypto.randomUUID() } });
}

async function request(path, options, timeoutMs = TIMEOUT_MS) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      headers: { accept: "application/json", ...options.headers },
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (cause) {
    const late = cause.name === "TimeoutError";
    throw new ApiError(0, {
      code: late ? "NO_ANSWER" : "UNREACHABLE",
      message: late ? "The server did not answer in time." : "The server cannot be reached.",
      remedy: "Check the network and `aitrading status` on the host.",
    });
  }
  const text = await response.text();
  const content = text ? safely(text) : null;
  if (response.ok) return content;
  throw new ApiError(response.status, content?.error ?? {
    code: `HTTP_${response.status}`,
    message: `The server answered ${response.status}.`,
  });
}

function safely(text) {
  try { return JSON.parse(text); } catch { return null; }
}
