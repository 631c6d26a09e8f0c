// How many quotes arrive each second and how late: two minutes, one point per second.

import { nowMs } from "./server_time.js";

const SECONDS = 120;

export class Strip {
  #host = document.querySelector("#strip");
  #legend = document.querySelector("#strip-legend");
  #rateLabel = document.querySelector("#quote-rate");
  #times = [];
  #rates = [];
  #delays = [];
  #count = 0;
  #worstMs = 0;
  #plot = null;

  constructor() {
    const now = Math.floor(Date.now() / 1000);
    for (let second = SECONDS; second > 0; second -= 1) {
      this.#times.push(now - second);
      this.#rates.push(null);
      this.#delays.push(null);
    }
    setInterval(() => this.#second(), 1_000);
    addEventListener("themechange", () => this.#build());
    new ResizeObserver(() => this.#resize()).observe(this.#host);
  }

  take(message) {
    this.#count += 1;
    this.#worstMs = Math.max(this.#worstMs, nowMs() - Date.parse(message.time));
  }

  #second() {
    const heard = this.#count > 0;
    this.#roll(this.#times, Math.floor(nowMs() / 1000));
    this.#roll(this.#rates, this.#count);
    this.#roll(this.#delays, heard ? Math.max(0, this.#worstMs) : null);
    this.#rateLabel.textContent = this.#count;
    const delay = heard ? `${Math.round(Math.max(0, this.#worstMs))} ms` : "–";
    this.#legend.textContent = `${this.#count} quotes/s · worst delay ${delay} · last two minutes`;
    this.#count = 0;
    this.#worstMs = 0;
    if (!this.#plot) this.#build();
    this.#plot?.setData([this.#times, this.#rates, this.#delays]);
  }

  #roll(series, value) {
    series.push(value);
    series.shift();
  }

  #size() {
    return { width: this.#host.clientWidth, height: this.#host.clientHeight };
  }

  #resize() {
    this.#plot?.setSize(this.#size());
  }

  #build() {
    const uPlot = window.uPlot;
    if (!uPlot || !this.#host.clientWidth) return;
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `10.5px ${colour("--mono")}`;
    const axis = { stroke: colour("--dim"), font, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
    this.#plot = new uPlot({
      ...this.#size(),
      padding: [8, 4, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: { rate: { range: (_, low, high) => [0, Math.max(5, high * 1.15)] }, ms: { range: (_, low, high) => [0, Math.max(20, high * 1.15)] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toISOString().slice(14, 19)), size: 22, grid: { show: false } },
        { ...axis, scale: "rate", size: 38 },
        { ...axis, scale: "ms", side: 1, size: 52, grid: { show: false }, values: (_, ticks) => ticks.map((t) => (t >= 1000 ? `${t / 1000} s` : `${t} ms`)) },
      ],
      series: [
        {},
        { scale: "rate", stroke: colour("--accent"), fill: `${colour("--accent")}22`, width: 1.25, paths: uPlot.paths.stepped({ align: -1 }), points: { show: false } },
        { scale: "ms", stroke: colour("--warn"), width: 1, points: { show: false } },
      ],
    }, [this.#times, this.#rates, this.#delays], this.#host);
  }
}
