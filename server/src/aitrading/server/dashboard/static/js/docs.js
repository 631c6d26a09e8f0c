// The API page: the theme button, and `t` for the keyboard.

const toggle = () => window.toggleTheme();
document.querySelector("#theme-toggle").addEventListener("click", toggle);
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && !event.ctrlKey && !event.metaKey) toggle();
});
