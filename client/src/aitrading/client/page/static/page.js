// Draws /page.json again and again. Everything from outside becomes text, never markup.
const PERIOD_MS = 2000;
const TIMEOUT_MS = 5000;
const at = (id) => document.getElementById(id);
const THEME = "aitrading.theme";

const remembered = () => { try { return localStorage.getItem(THEME); } catch { return null; } };
if (remembered() === "light") document.documentElement.dataset.theme = "light";
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
  try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* private window */ }
});

const element = (name, text, classes = "") => {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined && text !== null) made.textContent = String(text);
  return made;
};
const state = (word) => {
  const made = element("span", word, "state");
  made.dataset.state = word;
  return made;
};
const duration = (seconds) => {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
};
const clock = (ms) => new Date(ms).toISOString().slice(11, 19) + "Z";
const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;
const count = (number) => number.toLocaleString("en");

const list = (id, rows) => {
  at(id).replaceChildren(...rows.filter(([, value]) => value !== undefined && value !== null && value !== "").flatMap(([name, value]) => {
    const told = element("dd");
    told.append(value instanceof Node ? value : String(value));
    return [element("dt", name), told];
  }));
};
const rows = (id, all, none) => {
  at(id).replaceChildren(...all.map((cells) => {
    const row = element("tr");
    cells.forEach((cell) => {
      const made = element("td", undefined, typeof cell === "number" || cell?.right ? "n" : "");
      made.append(cell instanceof Node ? cell : String(cell?.text ?? cell ?? ""));
      row.append(made);
    });
    return row;
  }));
  at(none).hidden = all.length > 0;
  at(id).parentElement.hidden = all.length === 0;
};
const right = (text) => ({ text, right: true });
const words = (fields) => Object.entries(fields)
  .filter(([, value]) => value !== null && value !== "" && value !== false)
  .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(" · ");

function connection(data) {
  const link = data.components.link?.fields ?? {};
  list("connection", [
    ["link", state(link.link ?? "UNKNOWN")],
    ["market data", data.held],
    ["terminal", data.components["terminal-poller"]?.fields.trouble],
    ["set aside", data.components["terminal-poller"]?.fields.set_aside],
    ["hidden", data.components["terminal-poller"]?.fields.hidden],
    ["server", data.server],
    ["since", link.connected_since_ns ? duration(Date.parse(data.now) / 1000 - link.connected_since_ns / 1e9) : null],
    ["round trip", link.round_trip_ms ? `${link.round_trip_ms.toFixed(1)} ms` : null],
    ["connections", link.connections],
    ["last trouble", link.last_error],
    ["certificate", data.certificate.problem ?? (data.certificate.left_s > 0 ? `${duration(data.certificate.age_s)} old, ends in ${duration(data.certificate.left_s)}` : "over")],
  ]);
}

function queues(data) {
  const of = (name) => data.components[name]?.fields ?? {};
  const journal = of("journal"), notes = of("notes"), { login, sealed } = storedLogin(data);
  const pool = Object.entries(data.components).find(([name]) => name.startsWith("terminal") && "workers" in data.components[name].fields);
  list("queues", [
    ["ticks unsent", count(of("uplink").pending_ticks ?? 0)],
    ["nothing taken", of("terminal-poller").paused_by],
    ["refused", of("uplink").refused_streams],
    ["on disk", journal.limit_bytes ? `${mib(journal.used_bytes)} of ${mib(journal.limit_bytes)}` : null],
    ["gaps", journal.gaps],
    ["notes unsent", notes.pending],
    ["given up", notes.given_up || null],
    ["notes refused by", notes.refused_by],
    ["workers", pool ? pool[1].fields.workers : null],
    ["stored login", login],
    ["login sealed", sealed],
  ]);
}

function storedLogin(data) {
  const keeper = data.components["broker-login"];
  if (!keeper) return { login: "none: the terminal's own" };
  const { lease_left_s: left, refused_by: refused, stored_at: at } = keeper.fields;
  const lease = left > 0 ? `lease ends in ${duration(left)}` : "no lease";
  return {
    login: refused ? `${lease}, ${refused}` : lease,
    sealed: at ? `${duration((Date.parse(data.now) - Date.parse(at)) / 1000)} ago` : null,
  };
}

function configuration(data) {
  const known = data.configuration;
  list("configuration", [
    ["version", known.version || "none yet"],
    ["problem", known.problem],
    ...known.settings.map((each) => {
      const value = element("span", each.value + " ");
      value.append(element("span", each.from === "default" ? "" : each.from, "dim"));
      return [each.name, value];
    }),
  ]);
}

function parts(data) {
  at("parts").replaceChildren(...data.parts.map((each) => {
    const part = element("div", undefined, "part"), line = element("p");
    line.append(element("b", each.name), state(each.state), element("span", `port ${each.port}`, "dim"));
    part.append(line, element("small", words(each.fields)));
    return part;
  }));
}

function alerts(data) {
  const open = data.alerts.open.map((each) => ({ ...each, open: true }));
  const ended = data.alerts.newest.filter((each) => !each.raised).slice(0, 10);
  rows("alerts", [...open, ...ended].map((each) => [
    clock(each.at_ms), each.symbol, each.rule.replace(/^\S+ /, ""), right(each.value), state(each.open ? "OPEN" : "ENDED"),
  ]), "no-alerts");
}

function draw(data) {
  const overall = at("state");
  overall.textContent = overall.dataset.state = data.state;
  at("now").textContent = data.now.slice(0, 19).replace("T", " ") + "Z";
  connection(data);
  rows("feeds", data.feeds.map((each) => [
    each.symbol, state(each.state), right(duration(each.age_ms / 1000)),
    right(each.spread_points ?? ""), right(count(each.ticks)),
  ]), "no-feeds");
  alerts(data);
  queues(data);
  configuration(data);
  parts(data);
  list("identity", [
    ["device", data.device],
    ["new positions", data.components.security?.fields.new_exposure],
    ["barred by", data.components.security?.fields.barred_by],
    ["files", data.components.security?.fields.files],
    ["findings", data.components.security?.fields.findings],
    ["client", data.versions.client], ["core", data.versions.core], ["Python", data.versions.python],
  ]);
}

/** Nothing that was good a moment ago may still look so. */
function lose() {
  at("lost").hidden = false;
  for (const each of document.querySelectorAll(".state")) each.textContent = each.dataset.state = "UNKNOWN";
}

async function look() {
  try {
    const answer = await fetch("/page.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    draw(await answer.json());
    at("lost").hidden = true;
  } catch {
    lose();
  }
  setTimeout(look, PERIOD_MS);
}

look();
