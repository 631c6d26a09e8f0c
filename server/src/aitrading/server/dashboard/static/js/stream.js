// The live stream: connects, says truthfully whether it is connected, and comes back.

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_MS = 5_000;
const SILENCE_MS = 15_000;

/**
 * Emits `status` ({state: connecting|live|lost, since, retryAt}) and `message`.
 * A connection that stays silent although it was asked for a sign of life counts as lost.
 */
export class Stream extends EventTarget {
  #url;
  #socket = null;
  #attempt = 0;
  #lostAt = null;
  #heardAt = 0;
  #answersProbes = false;
  #timer = null;

  constructor(url, { beforeRetry }) {
    super();
    this.#url = url;
    this.beforeRetry = beforeRetry;
    setInterval(() => this.#probe(), PROBE_MS);
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#now(); });
  }

  open() {
    this.#status("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    const patience = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
    socket.addEventListener("open", () => {
      clearTimeout(patience);
      this.#heardAt = performance.now();
      this.#attempt = 0;
      this.#lostAt = null;
      this.#status("live");
    });
    socket.addEventListener("message", (event) => this.#heard(event.data));
    socket.addEventListener("close", () => {
      clearTimeout(patience);
      if (this.#socket === socket) this.#lost();
    });
  }

  #heard(text) {
    this.#heardAt = performance.now();
    let message;
    try { message = JSON.parse(text); } catch { return; }
    if (message.type === "pong") this.#answersProbes = true;
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #probe() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    const silentMs = performance.now() - this.#heardAt;
    if (this.#answersProbes && silentMs > SILENCE_MS) {
      this.#socket = null;
      socket.close();
      this.#lost();
    } else if (silentMs > PROBE_MS / 2) {
      socket.send('{"type":"ping"}');
    }
  }

  #lost() {
    this.#socket = null;
    this.#lostAt ??= Date.now();
    const ceiling = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempt);
    const wait = 250 + Math.random() * ceiling;
    this.#attempt += 1;
    this.#status("lost", Date.now() + wait);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#retry(), wait);
  }

  async #retry() {
    if (this.#attempt > 1) await this.beforeRetry();
    if (this.#socket === null) this.open();
  }

  #now() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    this.#retry();
  }

  #status(state, retryAt = null) {
    const detail = { state, since: this.#lostAt, retryAt };
    this.dispatchEvent(new CustomEvent("status", { detail }));
  }
}
