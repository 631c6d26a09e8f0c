// Takes everything off the page that a session has shown, also while the server is away.

/**
 * Replace this page by one that says `title` and `text` and nothing else. It is made here, so it
 * needs no server; what ran, listened and was remembered on this page is gone with it.
 */
export function clearPage(title, text) {
  const left = document.implementation.createHTMLDocument("aitrading");
  left.documentElement.lang = "en";
  const style = left.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: document.querySelector('link[rel="stylesheet"]').href });
  left.head.append(style);
  const told = left.createElement("p");
  const bold = left.createElement("b");
  bold.textContent = title;
  Object.assign(told, { id: "left", className: "banner lost" });
  told.append(bold, ` ${text} `);
  const back = left.createElement("a");
  back.setAttribute("href", new URL("/", location.href).href);
  back.textContent = "Open aitrading";
  told.append(back);
  left.body.append(told);
  const page = new Blob(["<!doctype html>", left.documentElement.outerHTML], { type: "text/html" });
  location.replace(URL.createObjectURL(page));
}
