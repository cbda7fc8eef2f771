// The page of a run: reads events with the token, and draws what they say.

import { chart } from "./charts.js";
import { byId, bytes, count, duration, make, moment, percent, perSecond, replace, say, table } from "./elements.js";
import { followAddress } from "./subject.js";

const HISTORY_MS = 30_000;
const CHECKPOINT_MS = 10_000;
const NARROW = matchMedia("(max-width: 560px)");
const MOST_SAMPLES = 1_000;
const WORKERS_MS = 5_000;
const SILENT_MS = 20_000; // an event comes every second
const ANSWER_MS = 60_000; // of what is asked again and again
const WAITS = {
  limit: "at the limit", queue: "without a unit", pace: "resting, as was set", "back-off": "about to try again",
  store: "waiting for the store", lag: "asking how far the API lags",
};
let token = takeToken();
let samples = [];
let shownSteps = {};
let hasStatus = false;
let isRunShown = true;

/** The token of the address, which forgets it: it must not stay in a bookmark or a screenshot. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem("token");
}

class Refused extends Error {}
/** What the server says in words; any other error is one of the connection. */
class Said extends Error {}

async function request(path, signal) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, signal });
  if (response.status === 401) throw new Refused();
  if (!response.ok) throw new Said((await response.json()).error);
  return response;
}

/** Of what is asked again and again, an answer that never comes must not hold up the next one. */
const poll = (path) => request(path, AbortSignal.timeout(ANSWER_MS));

// --- events -------------------------------------------------------------------------------------

/** Reads events until the connection ends, or none comes any more: a machine that has vanished ends nothing. An EventSource could not send the token. */
async function readEvents() {
  const connection = new AbortController();
  let silence;
  const listen = () => {
    clearTimeout(silence);
    silence = setTimeout(() => connection.abort(), SILENT_MS);
  };
  try {
    listen();
    const response = await request("/events", connection.signal);
    await readStream(response.body.pipeThrough(new TextDecoderStream()).getReader(), listen);
  } finally {
    clearTimeout(silence);
  }
}

/** `listen` is called with whatever comes. */
async function readStream(reader, listen) {
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    listen();
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) draw(JSON.parse(data.slice(6)));
    }
  }
}

async function followEvents() {
  for (;;) {
    let why = "No connection to polybackfill ui: what is shown is old. If it has ended, start it again.";
    try {
      await readEvents();
    } catch (error) {
      if (error instanceof Refused) return askForToken();
      if (error instanceof Said) why = error.message;
    }
    notice(why);
    document.title = "disconnected · polybackfill";
    say(byId("state"), "disconnected");
    say(byId("announced"), "disconnected");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function notice(text) {
  byId("notice").hidden = !text;
  say(byId("notice"), text);
}

function askForToken() {
  byId("shown").hidden = true;
  byId("search").hidden = true;
  notice("");
  say(byId("state"), "not signed in");
  say(byId("announced"), "not signed in");
  byId("sign-in").hidden = false;
  byId("token").focus();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  byId("sign-in").hidden = true;
  start();
});

// --- what an event says -------------------------------------------------------------------------

function draw(status) {
  notice("");
  hasStatus = true;
  showRun();
  say(byId("run"), status.run ?? "");
  say(byId("state"), status.said);
  say(byId("announced"), status.state); // what is seen counts the seconds, which nobody wants read aloud
  const share = status.picture?.share;
  document.title = `${share === undefined || share === null ? "" : `${percent(share)} · `}${status.state} · polybackfill`;
  drawAnswers(status.answers);
  for (const id of ["parts-title", "limits-title"]) byId(id).closest("section").hidden = !status.picture;
  if (!status.picture) return;
  drawOverall(status.picture, status.is_running);
  drawParts(status.picture.parts, status.is_running, status.picture.paused ?? []);
  drawJob(status.picture.job);
  drawDrain(status.is_running && status.picture.state !== "draining");
  drawBudgets(status.picture.budgets, status.is_running);
  drawMachine(status.picture, status.machine);
}

function drawAnswers(answers) {
  replace(byId("answers"), JSON.stringify(answers), () => answers.map((answer) =>
    make("div", { class: `${answer.tone}-edge` },
      make("dt", {}, answer.question),
      make("dd", answer.tone === "good" ? {} : { class: answer.tone }, answer.text,
        ...answer.commands.filter((command) => command !== "polybackfill ui").map(drawCommand)))));
}

/** Broken between words alone, as it is typed. */
function drawCommand(command) {
  return make("code", {}, ...command.split(" ").flatMap((word, place) => [place ? " " : "", make("span", { class: "word" }, word)]));
}

function drawOverall(picture, isRunning) {
  say(byId("share"), picture.share === null ? "Not counted" : percent(picture.share));
  const rows = Object.values(picture.rows).reduce((sum, number) => sum + number, 0);
  const pace = `${perSecond(picture.rows_per_s)} rows/s · ${perSecond(picture.requests_per_s)} of ${perSecond(picture.allowed_per_s)} requests/s · `;
  const parts = Object.values(picture.parts);
  const sum = (field) => parts.reduce((total, part) => total + part[field], 0);
  const failed = sum("error") ? `, ${count(sum("error"))} ${sum("error") === 1 ? "key" : "keys"} in error` : "";
  const late = picture.following ? `, ${isRunning ? `new trades are ${duration(picture.following.lag_s)} behind` : "it followed new trades"}` : "";
  const over = picture.share === null ? "some parts wait for others to find their keys" : `of the work is over${failed}${late}`;
  say(byId("rates"), `${over} · ${isRunning ? pace : ""}${count(rows)} rows stored in this run`);
  setBar(byId("bar"), picture.share, sum("units") ? sum("error") / sum("units") : 0);
}

/** `share`: of what is over, of which `failed` ended in error; null while nobody can tell. */
function setBar(bar, share, failed) {
  bar.firstElementChild.style.width = `${Math.max(0, (share ?? 0) - failed) * 100}%`;
  bar.lastElementChild.style.width = `${failed * 100}%`;
  if (share === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", (share * 100).toFixed(2));
}

function drawParts(parts, isRunning, paused) {
  const body = byId("parts");
  for (const [kind, part] of Object.entries(parts)) {
    const row = body.querySelector(`[data-kind="${CSS.escape(kind)}"]`) ?? addPart(body, kind);
    const waits = Object.keys(part.waits).sort().map((wait) => `${part.waits[wait]} ${WAITS[wait] ?? wait}`).join(", ");
    const ended = part.error ? "ended" : "proven complete";
    const open = part.done + part.error >= part.units ? "more may come" : part.eta_s === null ? "unknown" : duration(part.eta_s);
    const left = part.complete ? ended : isRunning ? open : "–";
    const done = part.share === null ? null : part.units ? part.done / part.units : 1;
    const texts = [
      part.share === null ? `${count(part.units)} so far` : `${count(part.done)} of ${count(part.units)}`, count(part.error),
      isRunning ? `${perSecond(part.requests_per_s)} of ${perSecond(part.allowed_per_s)}` : "–", left,
      part.workers && isRunning ? `${part.workers}${waits ? ` (${waits})` : ""}` : "–",
    ];
    say(row.querySelector(".share"), done === null ? "not counted" : percent(done));
    setBar(row.querySelector(".bar"), part.share, part.units ? part.error / part.units : 0);
    [...row.querySelectorAll("[data-label]")].forEach((cell, index) => say(cell, texts[index]));
    const action = row.querySelector("button");
    const isPaused = paused.includes(kind);
    action.hidden = !isPaused && (!isRunning || part.complete);
    say(action, isPaused ? "Resume" : "Pause");
    action.setAttribute("aria-label", `${isPaused ? "resume" : "pause"} ${kind}`);
    row.querySelector(".errors").classList.toggle("bad", part.error > 0);
  }
  for (const row of [...body.children]) if (!(row.dataset.kind in parts)) row.remove();
}

/** What all daemons of a job do, and each; null where the run shares none. */
function drawJob(job) {
  byId("job").hidden = !job;
  if (!job) return;
  const work = (told) => [count(told.keys_done ?? 0), count(told.keys_in_error ?? 0), count(told.rows ?? 0), perSecond(told.requests_per_s ?? 0)];
  const [keys, failed, rows, rate] = work(job);
  const left = job.eta_s === null ? "time left unknown" : `${duration(job.eta_s)} left`;
  const trouble = job.trouble ? ` · Keeper does not answer: ${job.trouble}` : "";
  say(byId("job-title"), `Job ${job.name}`);
  say(byId("job-work"), `Round ${job.round} · all daemons: ${keys} keys done, ${failed} in error, ${rows} rows stored · ${rate} requests/s · ${left}${trouble}`);
  replace(byId("job-hosts"), JSON.stringify(job.members), () => [table(
    ["Daemon", "Host", "State", "Lease left", "Keys done", "In error", "Rows", "Requests/s"],
    job.members.map((one) => [
      one.member === job.member ? `${one.run_name} (this one)` : one.run_name, one.host, one.state, duration(one.left_s), ...work(one),
    ]))]);
  replace(byId("job-shards"), JSON.stringify(job.shards), () => [table(
    ["Part", "Shards done", "Of", "This daemon's", "Keys known"],
    Object.entries(job.shards).map(([kind, one]) => [kind, count(one.done), count(one.in_all), count(one.mine), count(one.keys)]))]);
}

function addPart(body, kind) {
  const bar = make("div", {
    class: "bar", role: "progressbar", "aria-label": `${kind} done`, "aria-valuemin": 0, "aria-valuemax": 100,
  }, make("i"), make("i"));
  const row = make("tr", { "data-kind": kind },
    make("th", { scope: "row" }, kind), make("td", {}, make("span", { class: "share" }), bar),
    make("td", { "data-label": "keys" }), make("td", { "data-label": "in error", class: "errors" }),
    make("td", { "data-label": "requests/s" }), make("td", { "data-label": "time left" }),
    make("td", { "data-label": "workers", class: "wide text" }),
    make("td", {}, make("button", { type: "button", class: "action" })));
  body.append(row);
  return row;
}

/** Tells the server; its answer, or null where it refuses, which is said. */
async function act(path, document) {
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(document) });
    const answer = await response.json();
    if (response.ok) return answer;
    notice(answer.error);
  } catch (error) {
    notice(error.message);
  }
  return null;
}

byId("parts").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  act(button.textContent === "Resume" ? "/resume" : "/pause", { kind: button.closest("[data-kind]").dataset.kind });
});

byId("drain").addEventListener("click", async () => {
  if (!confirm("Stop the run? It stores the rows under way, loses nothing, and continues when it is started again.")) return;
  byId("drain").disabled = true;
  say(byId("drain"), "Stopping …");
  if (!await act("/drain", {})) drawDrain(false);
});

/** The button, until the run that was told to stop does so. */
function drawDrain(isPossible) {
  byId("drain").hidden = !isPossible;
  if (isPossible) return;
  byId("drain").disabled = false;
  say(byId("drain"), "Stop safely");
}

function drawBudgets(budgets, isRunning) {
  const used = Object.entries(budgets).filter(([, budget]) => budget.sent);
  byId("budgets").replaceChildren(...used.map(([name, budget]) => make("tr", {},
    make("th", { scope: "row" }, name),
    ...[isRunning ? perSecond(budget.rate_per_s) : "–", isRunning ? perSecond(budget.allowed_per_s) : "–",
      perSecond(budget.limit / budget.window_s), count(budget.sent), count(budget.refusals),
    ].map((text) => make("td", {}, text)))));
}

function drawMachine(picture, machine) {
  const waiting = picture.batch.rows ? `${count(picture.batch.rows)} rows, the oldest for ${duration(picture.batch.age_s)}` : "nothing";
  const facts = [["Waiting for an insert", waiting]];
  if (machine?.memory_bytes) facts.push(["Memory", bytes(machine.memory_bytes)]);
  for (const [name, disk] of Object.entries(machine?.disks ?? {})) facts.push([`Free for ${name}`, bytes(disk.free_bytes)]);
  if (machine?.checkpoint_age_s != null) facts.push(["Checkpoint written", `${duration(machine.checkpoint_age_s)} ago`]);
  if (picture.source_lag_s != null) facts.push(["API behind the chain", duration(picture.source_lag_s)]);
  replace(byId("machine"), JSON.stringify(facts), () => facts.map(([name, text]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}

// --- over the hours -----------------------------------------------------------------------------

async function drawHistory() {
  if (samples.length > MOST_SAMPLES) samples = []; // asked for anew, they come thinned out
  const since = samples.length ? samples[samples.length - 1].at : 0;
  const more = await (await poll(`/history.json?since=${since}`)).json();
  samples = [...samples, ...more];
  if (samples.length < 2 || !more.length) return;
  const hours = (samples[samples.length - 1].at - samples[0].at) / 3600;
  say(byId("span"), hours > 35.5 ? "The last 36 hours; older figures are not shown." : `Since ${moment(samples[0].at)}.`);
  const budgets = [...new Set(samples.flatMap((one) => Object.keys(one.sent)))];
  const of = (field) => samples.map((one) => [one.at, one[field]]);
  byId("charts").replaceChildren(
    ...budgets.map((name) => chart(`Requests/s: ${name}`, samples.map((one) => [one.at, one.sent[name] ?? 0]), {
      limits: samples.filter((one) => name in one.allowed).map((one) => [one.at, one.allowed[name]]), show: perSecond,
    })),
    chart("Rows/s", of("rows_per_s"), { show: perSecond }),
    chart("Insert lag", of("insert_lag_s"), { show: (value) => `${value.toFixed(1)} s` }),
    chart("Units in error", of("in_error"), { show: count }),
  );
}

// --- the map and the errors ---------------------------------------------------------------------

async function drawCheckpoint() {
  const { map, errors, failed, asked_again: askedAgain } = await (await poll("/checkpoint.json")).json();
  for (const [kind, row] of Object.entries(map).map(merged)) {
    shownSteps[kind] = row.step;
    const line = byId("map").querySelector(`[data-kind="${CSS.escape(kind)}"]`) ?? addMapRow(kind);
    drawCells(line, kind, row);
  }
  for (const line of [...byId("map").children]) if (!(line.dataset.kind in map)) line.remove();
  replace(byId("errors"), JSON.stringify(errors), () => drawErrors(errors));
  replace(byId("retries"), JSON.stringify(failed), () => Object.entries(failed).map(([kind, number]) =>
    retryButton(`Try ${kind} again (${count(number)})`, { kind })));
  say(byId("asked-again"), askedAgain ? `${count(askedAgain)} of them will be tried again: by this run, or by the next one where they are none of its own.` : "");
}

function retryButton(text, document) {
  const button = make("button", { type: "button", class: "action" }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const done = await act("/retry", document);
    if (done) say(byId("asked-again"), done.asked ? `${count(done.asked)} will be tried again.` : "Nothing is in error any more.");
    button.disabled = !!done;
  });
  return button;
}

/** `errors`: null without a checkpoint, which alone knows of them. */
function drawErrors(errors) {
  if (errors?.length) return errorTable(errors);
  return [make("p", { class: "quiet" }, errors ? "None." : "Unknown: there is no checkpoint to tell.")];
}

/** A row of the map; on a narrow screen three cells are one, for a finger. */
function merged([kind, { step, cells, since }]) {
  if (!NARROW.matches) return [kind, { step, cells, since }];
  const joined = [];
  for (let first = 0; first < cells.length; first += 3) {
    joined.push(cells.slice(first, first + 3).reduce((sum, cell) =>
      Object.fromEntries(Object.entries(cell).map(([state, number]) => [state, number + sum[state]]))));
  }
  return [kind, { step: step * 3, cells: joined, since }];
}

function addMapRow(kind) {
  const line = make("div", { "data-kind": kind, role: "group", "aria-label": `map of ${kind}` },
    make("span", {}, kind), make("div", { class: "cells" }));
  byId("map").append(line);
  return line;
}

/** What a cell stands for: keys, or, with `since`, seconds of what a run follows. */
function cellName(first, size, since) {
  if (since === undefined) return `${count(first + 1)} to ${count(first + size)}`;
  const utc = (second) => `${new Date(second * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return `${utc(since + first)} to ${utc(since + first + size - 1)}, in seconds`;
}

function drawCells(line, kind, { step, cells, since }) {
  const row = line.querySelector(".cells");
  while (row.children.length > cells.length) row.lastElementChild.remove();
  while (row.children.length < cells.length) {
    row.append(make("button", { type: "button", tabindex: row.children.length ? -1 : 0, "data-cell": row.children.length }));
  }
  cells.forEach((cell, index) => {
    const button = row.children[index];
    const state = ["error", "open"].find((name) => cell[name]) ?? (!cell.missing ? "done" : cell.done ? "part" : "missing");
    const size = Object.values(cell).reduce((sum, one) => sum + one, 0);
    const label = `${kind} ${cellName(index * step, size, since)}: `
      + [["done", "proven"], ["error", "in error"], ["open", "under way"], ["missing", "missing"]]
        .filter(([name]) => cell[name]).map(([name, said]) => `${count(cell[name])} ${said}`).join(", ");
    if (button.title !== label) {
      button.className = state;
      button.title = label;
      button.setAttribute("aria-label", label);
    }
  });
}

byId("map").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const cell = event.target.closest("button");
  if (!step || !cell) return;
  const next = cell.parentElement.children[Number(cell.dataset.cell) + step];
  if (!next) return;
  event.preventDefault();
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

byId("map").addEventListener("click", async (event) => {
  const cell = event.target.closest("button");
  if (!cell) return;
  const kind = cell.closest("[data-kind]").dataset.kind;
  say(byId("units-title"), cell.title);
  byId("units-list").replaceChildren(make("p", { class: "quiet" }, "reading the checkpoint …"));
  byId("units").showModal();
  try {
    const response = await request(`/units.json?kind=${encodeURIComponent(kind)}&step=${shownSteps[kind]}&cell=${cell.dataset.cell}`);
    byId("units-list").replaceChildren(...receiptTable(await response.json()));
  } catch (error) {
    byId("units-list").replaceChildren(make("p", { class: "bad" }, error.message));
  }
});

function receiptTable({ receipts, more }) {
  if (!receipts.length) return [make("p", {}, "Nothing was begun here yet.")];
  const heads = ["Keys", "State", "Pages", "Rows", "Set aside", "End seen", "Error"];
  return [table(heads, receipts.map((one) => [
    one.keys.length > 3 ? `${one.keys.slice(0, 3).join(", ")} and ${one.keys.length - 3} more` : one.keys.join(", "),
    one.state, count(one.pages), count(one.rows), count(one.rejected),
    one.end_seen === null ? "–" : new Date(one.end_seen * 1000).toLocaleString(),
    one.state === "error" ? make("span", {}, one.error, " ", retryButton("Try again", { unit: one.unit })) : "–",
  ]), { linked: 1 }), ...(more ? [make("p", { class: "quiet" }, `And ${count(more)} more.`)] : [])];
}

function errorTable(errors) {
  return [table(["Units", "Parts", "What the last one said", "Which", "What to do"], errors.map((one) => [
    count(one.units), one.kinds.join(", "), one.message, one.example, one.remedy,
  ]), { linked: 4 })];
}

// --- rows set aside -----------------------------------------------------------------------------

byId("ask-aside").addEventListener("click", async () => {
  byId("aside").replaceChildren(make("p", { class: "quiet" }, "asking the store …"));
  try {
    const { by_reason: reasons, newest } = await (await request("/quarantine.json")).json();
    byId("aside").replaceChildren(...(reasons.length ? asideTables(reasons, newest) : [make("p", { class: "quiet" }, "None.")]));
  } catch (error) {
    byId("aside").replaceChildren(make("p", { class: "bad" }, error.message));
  }
});

function asideTables(reasons, newest) {
  return [
    make("div", { class: "card" }, table(["Reason", "Rows", "The last came"], reasons.map((one) => [one.reason, count(Number(one.rows)), one.newest]))),
    make("p", { class: "quiet" }, "The newest, as they were sent. Parsed again by: polybackfill quarantine replay"),
    make("div", { class: "card" }, table(["Unit", "Reason", "Row"], newest.map((one) => [one.unit, one.reason, one.raw.slice(0, 400)]))),
  ];
}

// --- workers ------------------------------------------------------------------------------------

async function drawWorkers() {
  const { workers, stalls } = await (await poll("/workers.json")).json();
  const heads = ["Worker", "Unit", "Does", "Waits for", "Pages stored", "No page for"];
  byId("workers").replaceChildren(workers?.length
    ? table(heads, workers.map((one) => [one.worker, one.unit, one.doing, one.wait ?? "–", count(one.pages ?? 0), duration(one.idle_s)]), { linked: 2 })
    : make("p", { class: "quiet" }, workers ? "Nobody holds a unit." : "Unknown: the run has left no list of its workers."));
  replace(byId("stalls"), JSON.stringify(stalls), () => stalls.map((one) => make("details", { class: "card" },
    make("summary", {}, `${one.worker} stalled at ${new Date(one.timestamp).toLocaleString()}: ${one.doing}, ${one.unit ?? "no unit"}`),
    make("pre", {}, one.stack))));
}

// ------------------------------------------------------------------------------------------------

/** Draws now and from time to time; what cannot be read now is read the next time, and its sections say so. */
async function repeat(drawOnce, everyMs, ...sections) {
  for (;;) {
    let failure = "";
    try {
      await drawOnce();
    } catch (error) {
      if (error instanceof Refused) return;
      failure = `Cannot be read now: ${error.message}`;
    }
    for (const id of sections) sayFailure(byId(id), failure);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** A line above what could not be drawn anew; none when it was. */
function sayFailure(shown, text) {
  const above = shown.previousElementSibling;
  const isThere = above.classList.contains("failure");
  if (!text) {
    if (isThere) above.remove();
    return;
  }
  const line = isThere ? above : make("p", { class: "bad failure" });
  say(line, text);
  if (!isThere) shown.before(line);
}

function showRun() {
  byId("shown").hidden = !(hasStatus && isRunShown);
}

function start() {
  byId("search").hidden = false;
  followAddress(request, (isShown) => {
    isRunShown = isShown;
    byId("units").close();
    showRun();
  });
  followEvents();
  repeat(drawHistory, HISTORY_MS, "charts");
  repeat(drawCheckpoint, CHECKPOINT_MS, "map", "errors");
  repeat(drawWorkers, WORKERS_MS, "workers");
}

if (token) start();
else askForToken();
