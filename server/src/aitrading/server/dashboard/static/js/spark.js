// A small line of the last two minutes, drawn on a canvas.

const colours = {};

function refreshColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["--up", "--down", "--dim"]) colours[name] = style.getPropertyValue(name).trim();
}
addEventListener("themechange", refreshColours);
refreshColours();

/** Draw [time, value] points over `spanMs` that end at the last one. */
export function draw(canvas, series, spanMs) {
  const ratio = devicePixelRatio || 1;
  const width = 120;
  const height = 22;
  if (canvas.width !== width * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (series.length < 2) return;
  const end = series.at(-1)[0];
  let low = Infinity;
  let high = -Infinity;
  for (const [, value] of series) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const range = high - low || 1;
  const x = (time) => width - 2 - ((end - time) / spanMs) * (width - 4);
  const y = (value) => height - 3 - ((value - low) / range) * (height - 6);
  const colour = colours[series.at(-1)[1] >= series[0][1] ? "--up" : "--down"];
  context.beginPath();
  for (const [time, value] of series) context.lineTo(x(time), y(value));
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  context.strokeStyle = colour;
  context.stroke();
  context.lineTo(x(end), height);
  context.lineTo(x(series[0][0]), height);
  context.globalAlpha = 0.12;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  context.arc(x(end), y(series.at(-1)[1]), 1.8, 0, Math.PI * 2);
  context.fill();
}
