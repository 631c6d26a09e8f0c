// The live stream: connects, says truthfully whether it is connected, and comes back.

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_MS = 1_000;
const PATIENCE_MS = 10_000;
const LEAST_PATIENCE_MS = 3_000;
const TOKEN_ENDED = 4401;

/**
 * Emits `status` ({state: connecting|live|lost, since, retryAt}) and `message`.
 * Silence is answered with a ping; a connection that does not answer that counts as lost, within the
 * server's heartbeat (`heartbeatS`) and a second.
 */
export class Stream extends EventTarget {
  #url;
  #renewSession;
  #socket = null;
  #attempt = 0;
  #lostAt = null;
  #heardAt = 0;
  #askedAt = null;
  #patienceMs = PATIENCE_MS;
  #timer = null;

  constructor(url, { renewSession }) {
    super();
    this.#url = url;
    this.#renewSession = renewSession;
    setInterval(() => this.#probe(), PROBE_MS);
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#now(); });
  }

  /** From the server: how long a stream may say nothing. Half of it leaves room to notice. */
  set heartbeatS(seconds) {
    this.#patienceMs = Math.max(LEAST_PATIENCE_MS, Math.min(PATIENCE_MS, seconds * 500));
  }

  open() {
    this.#status("connecting");
    this.#connect();
  }

  /** Take over to a new connection with the present session before the old one's token ends. */
  renew() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    const patience = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
    this.#socket ??= socket;
    socket.addEventListener("open", () => {
      clearTimeout(patience);
      const before = this.#socket;
      this.#socket = socket;
      if (before !== socket) before?.close();
      this.#heardAt = performance.now();
      this.#askedAt = null;
      this.#attempt = 0;
      this.#lostAt = null;
      this.#status("live");
    });
    socket.addEventListener("message", (event) => {
      if (this.#socket === socket) this.#heard(event.data);
    });
    socket.addEventListener("close", (event) => {
      clearTimeout(patience);
      if (this.#socket === socket) this.#lost(event.code);
    });
  }

  #heard(text) {
    this.#heardAt = performance.now();
    this.#askedAt = null;
    let message;
    try { message = JSON.parse(text); } catch { return; }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #probe() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    const silentMs = performance.now() - this.#heardAt;
    if (this.#askedAt !== null && silentMs >= this.#patienceMs) {
      socket.close();
      this.#lost();
    } else if (this.#askedAt === null && silentMs >= this.#patienceMs / 4) {
      socket.send('{"type":"ping"}');
      this.#askedAt = performance.now();
    }
  }

  #lost(code) {
    this.#socket = null;
    this.#lostAt ??= Date.now();
    const ceiling = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempt);
    const wait = code === TOKEN_ENDED ? 0 : 250 + Math.random() * ceiling;
    this.#attempt += 1;
    this.#status("lost", Date.now() + wait);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#retry(code === TOKEN_ENDED), wait);
  }

  async #retry(tokenEnded = false) {
    if (tokenEnded || this.#attempt > 1) await this.#renewSession();
    if (this.#socket === null) this.#connect();
  }

  #now() {
    if (this.#socket !== null || this.#lostAt === null) return; // open, or never opened
    clearTimeout(this.#timer);
    this.#retry();
  }

  #status(state, retryAt = null) {
    const detail = { state, since: this.#lostAt, retryAt };
    this.dispatchEvent(new CustomEvent("status", { detail }));
  }
}
