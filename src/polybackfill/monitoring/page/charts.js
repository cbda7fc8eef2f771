// Lines over the hours, as inline SVG. A gap in the samples (the run was off) is a gap in the line.

import { clock, make } from "./elements.js";

const WIDTH = 600;
const HEIGHT = 96;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** The path of [time, value] points; `gap` seconds without one end a stroke. */
function path(points, from, to, most, gap) {
  const x = (at) => ((at - from) / (to - from || 1)) * WIDTH;
  const y = (value) => HEIGHT - (value / (most || 1)) * HEIGHT;
  let before = -Infinity;
  let drawn = "";
  for (const [at, value] of points) {
    const jump = at - before > gap;
    drawn += `${jump ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (jump) drawn += "h0.5";
    before = at;
  }
  return drawn;
}

/** A figure. `limits`: points of a dashed line; `show`: how a value is written. */
export function chart(title, points, { limits = [], show }) {
  const from = points[0][0];
  const to = points[points.length - 1][0];
  const most = Math.max(...points.map((one) => one[1]), ...limits.map((one) => one[1])) * 1.05;
  const gap = Math.max(60, ((to - from) / points.length) * 4);
  const now = points[points.length - 1][1];
  const highest = Math.max(...points.map((one) => one[1]));
  const limit = limits.length ? `, allowed ${show(limits[limits.length - 1][1])}` : "";
  const label = `${title}: now ${show(now)}, highest ${show(highest)}${limit}`;
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label,
  });
  if (limits.length) drawing.append(svg("path", { class: "limit", d: path(limits, from, to, most, gap) }));
  drawing.append(svg("path", { class: "line", d: path(points, from, to, most, gap) }));
  const value = make("span", {}, `${show(now)}${limit}`);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = from + ((event.clientX - box.left) / box.width) * (to - from);
    const near = points.reduce((best, one) => (Math.abs(one[0] - at) < Math.abs(best[0] - at) ? one : best));
    value.textContent = `${clock(near[0])}: ${show(near[1])}`;
  });
  drawing.addEventListener("pointerleave", () => { value.textContent = `${show(now)}${limit}`; });
  return make("figure", {}, make("figcaption", {}, title, value), drawing,
    make("div", { class: "ends" }, make("span", {}, clock(from)), make("span", {}, `highest ${show(highest)}`), make("span", {}, clock(to))));
}

/** A figure of a report: a line of [second, amount], or candles of [second, open, high, low, close]. */
export function reportChart({ title, points, above, below, words, candle_s: length }) {
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words,
  });
  drawing.append(...(length ? candles(points, length) : [line(points)]));
  const ends = (texts) => make("div", { class: "ends" }, ...texts.map((text) => make("span", {}, text)));
  return make("figure", {}, make("figcaption", {}, title), ends(above), drawing, ends(below));
}

function line(points) {
  const least = Math.min(0, ...points.map((one) => one[1]));
  const most = Math.max(0, ...points.map((one) => one[1]));
  const raised = points.map(([at, amount]) => [at, amount - least]);
  return svg("path", { class: "line", d: path(raised, points[0][0], points[points.length - 1][0], most - least, Infinity) });
}

function candles(points, length) {
  const from = points[0][0];
  const span = points[points.length - 1][0] + length - from;
  const least = Math.min(...points.map((one) => one[3]));
  const most = Math.max(...points.map((one) => one[2]));
  const width = (length / span) * WIDTH;
  const y = (price) => 2 + ((most - price) / (most - least || 1)) * (HEIGHT - 4);
  return points.flatMap(([at, open, high, low, close]) => {
    const x = ((at - from) / span) * WIDTH + width / 2;
    const way = close < open ? "fall" : "rise";
    const body = Math.max(1, width * 0.7);
    const top = y(Math.max(open, close));
    return [
      svg("path", { class: `wick ${way}`, d: `M${x.toFixed(1)} ${y(high).toFixed(1)}V${y(low).toFixed(1)}` }),
      svg("rect", {
        class: way, x: (x - body / 2).toFixed(1), y: top.toFixed(1), width: body.toFixed(1),
        height: Math.max(1, y(Math.min(open, close)) - top).toFixed(1),
      }),
    ];
  });
}
