// The keyboard comes first: one key, one thing. Inputs keep their own keys.

export function bindKeys(actions) {
  const filter = document.querySelector("#filter");
  const help = document.querySelector("#help");
  const keys = {
    "/": () => { filter.focus(); filter.select(); },
    j: () => actions.move(1),
    k: () => actions.move(-1),
    ArrowDown: () => actions.move(1),
    ArrowUp: () => actions.move(-1),
    g: () => actions.move(-Infinity),
    G: () => actions.move(Infinity),
    "[": () => actions.span(-1),
    "]": () => actions.span(1),
    f: () => actions.fit(),
    e: () => actions.evidence(),
    r: () => actions.requests(),
    t: () => window.toggleTheme(),
    d: () => location.assign("/docs"),
    "?": () => help.showModal(),
    Escape: () => clear(),
  };
  function clear() {
    filter.value = "";
    actions.filter("");
    filter.blur();
  }
  filter.addEventListener("input", () => actions.filter(filter.value));
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    else if (event.key === "Enter") filter.blur();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || event.target instanceof HTMLInputElement) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.querySelector("#help-open").addEventListener("click", () => help.showModal());
  document.querySelector("#theme-toggle").addEventListener("click", () => window.toggleTheme());
}
