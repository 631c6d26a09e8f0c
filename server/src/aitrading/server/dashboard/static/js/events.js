// What changed while this page was open; the newest on top, a bounded list.

import { clock } from "./format.js";
import { nowMs } from "./server_time.js";

const MAX_LINES = 200;
const list = document.querySelector("#events");

export function log(subject, text, level = "info") {
  const line = document.createElement("li");
  line.dataset.level = level;
  const time = document.createElement("time");
  time.textContent = clock(nowMs());
  const name = document.createElement("span");
  name.className = "subject";
  name.textContent = subject;
  const words = document.createElement("span");
  words.textContent = text;
  line.append(time, name, words);
  list.prepend(line);
  while (list.childElementCount > MAX_LINES) list.lastElementChild.remove();
}
