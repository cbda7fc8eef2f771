// Elements of the page. Texts are only ever set as text: nothing that was fetched can be markup.

/** An element with attributes and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets a text, and leaves the element alone where it is the same: a screen reader stays calm. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Takes the place of the children, where `key` says that something has changed. */
export function replace(element, key, build) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...build());
}

const ID = /\b(?:0x)?([0-9a-f]{64}|[0-9a-f]{40})\b/g;

/** The text, with a link to its page in the place of each wallet or condition id. */
function withLinks(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ID)) {
    pieces.push(text.slice(end, match.index), make("a", { href: `#at=0x${match[1]}` }, match[0]));
    end = match.index + match[0].length;
  }
  return [...pieces, text.slice(end)];
}

/** A table of texts and elements. `linked`: how many columns, from the first on, have ids that lead somewhere. */
export function table(heads, rows, { linked = 0 } = {}) {
  const kind = (text) => (text.length < 20 ? "text short" : "text");
  const cell = (text, column) => make("td", { class: kind(text) }, ...(column < linked ? withLinks(text) : [text]));
  return make("table", { class: "told" },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { class: kind(head), scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
}

export function count(number) {
  return Math.round(number).toLocaleString("en");
}

export function perSecond(rate) {
  return rate >= 1000 ? count(rate) : rate.toFixed(1);
}

export function percent(share) {
  if (share === null || share === undefined) return "unknown";
  return `${(Math.floor(share * 10000) / 100).toFixed(share < 1 ? 2 : 0)} %`;
}

export function duration(seconds) {
  const whole = Math.round(Math.max(0, seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 72) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < 4) [number, unit] = [number / 1000, unit + 1];
  return `${number.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

/** With the day, where the hour alone may be that of another one. */
export function moment(epoch) {
  return new Date(epoch * 1000).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
}

export function clock(epoch) {
  return new Date(epoch * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
