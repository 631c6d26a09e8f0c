// Runs before the first paint: the chosen theme, or dark.
"use strict";

(() => {
  const KEY = "aitrading.theme";
  const root = document.documentElement;
  const read = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  if (read() === "light") root.dataset.theme = "light";
  window.toggleTheme = () => {
    root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
    try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* private window: this visit only */ }
    window.dispatchEvent(new Event("themechange"));
  };
})();
