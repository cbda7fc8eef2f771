// The page of a wallet or a market: what is stored of it, and on demand what Polymarket says.

import { reportChart } from "./charts.js";
import { byId, make, say, table } from "./elements.js";

let asked = "";

/** Shows what the address names behind `#at=`, or the run again. `request`: asks the server. */
export function followAddress(request, run) {
  const show = () => {
    const name = new URLSearchParams(location.hash.slice(1)).get("at") ?? "";
    byId("subject").hidden = !name;
    run(!name);
    if (name) draw(request, name, false);
  };
  window.onhashchange = show; // once, also after a second sign-in
  show();
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = new URLSearchParams({ at: byId("name").value.trim() }).toString();
});

async function draw(request, name, ask) {
  const key = `${name} ${ask}`;
  asked = key;
  say(byId("subject-title"), name);
  byId("subject-title").focus();
  byId("subject-report").replaceChildren();
  say(byId("subject-said"), ask ? "asking Polymarket …" : "asking the store …");
  let drawn;
  try {
    const query = new URLSearchParams({ name, ...(ask ? { ask: 1 } : {}) });
    drawn = parts(await (await request(`/subject.json?${query}`)).json(), name, ask ? [] : [askButton(request, name)]);
  } catch (error) {
    drawn = [make("p", { class: "bad" }, error.message)];
  }
  if (asked !== key) return; // another one was asked for meanwhile
  say(byId("subject-said"), "");
  byId("subject-report").replaceChildren(...drawn);
}

function askButton(request, name) {
  const button = make("button", { type: "button", class: "action" }, "Ask Polymarket, too");
  button.addEventListener("click", () => draw(request, name, true));
  return make("p", {}, button);
}

/** `actions`: what a person can do about it. */
function parts({ report, choices, said }, name, actions) {
  if (choices.length) return [make("p", {}, `${name} names ${choices.length} markets:`), table(["Condition"], choices.map((one) => [one]), { linked: 1 })];
  if (!report) return [make("p", {}, said || `${name} names no market.`), ...actions];
  say(byId("subject-title"), report.title);
  return [
    ...(report.subject ? [make("p", {}, report.subject)] : []),
    make("p", { class: "quiet" }, report.history),
    make("p", {}, report.lead),
    ...actions,
    make("dl", { class: "answers small" }, ...report.tiles.map(([figure, caption]) =>
      make("div", {}, make("dt", {}, caption), make("dd", { class: figure === "unknown" ? "unknown" : "" }, figure)))),
    ...report.sections.flatMap(section),
  ];
}

function section({ title, table: shown, charts, words, notes }) {
  return [
    make("h3", {}, title),
    ...charts.map(reportChart),
    ...(words ? [make("p", { class: "quiet" }, words)] : []),
    ...(shown ? [make("div", { class: "card" }, figures(shown))] : []),
    ...(shown?.more ? [make("p", { class: "quiet" }, shown.more)] : []),
    ...(notes.length ? [make("ul", {}, ...notes.map((note) => make("li", {}, note)))] : []),
  ];
}

/** A table whose first column says what a row is about, and leads there. */
function figures({ heads, rows, keys }) {
  const cell = (text) => make("td", text === "unknown" ? { class: "unknown" } : {}, text);
  const first = (text, key) => make("th", { scope: "row" }, key ? make("a", { href: `#at=${key}` }, text) : text);
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map(([text, ...others], index) => make("tr", {}, first(text, keys[index]), ...others.map(cell)))));
}
