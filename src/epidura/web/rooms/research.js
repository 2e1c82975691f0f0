// Research: patients by pseudonym and their timelines, what is left out and why, and tables to take along.

import { get, Latest } from "../lib/api.js";
import { chart, COLOURS } from "../lib/charts.js";
import { el, fill, num } from "../lib/dom.js";
import { button, check, select, text } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";

const words = (name) => name.replaceAll(".", " ").replaceAll("_mA", " (mA)").replaceAll("_mm", " (mm)").replaceAll("_", " ").replaceAll("nrs", "NRS");
const plain = (value) => (value === null ? "" : Array.isArray(value) ? value.map(plain).join(", ") : typeof value === "object" ? Object.entries(value).map(([key, one]) => `${words(key)} ${plain(one)}`).join(", ") : value === true ? "yes" : value === false ? "no" : typeof value === "number" ? num(value, "", 1, 6) : String(value).replaceAll("-", " "));
const said = (name, value) => (name === "birth_decade" ? `${value}s` : name === "instrument" ? value.toUpperCase() : name === "birth_year" ? value : plain(value));

export default async function (main, bench) {
  if (!document.querySelector("link[data-room=research]")) document.head.append(el("link", { rel: "stylesheet", href: "/web/rooms/research.css", "data-room": "research" }));
  const [chosen] = bench.parts, latest = new Latest(), wrong = el("div");
  const [{ patients, stages }, fields, { items }] = await Promise.all([everybody(), get("/research/fields"), get("/indications")]);
  const names = new Map(items.map((one) => [one.indication, one.name])), indication = (one) => names.get(one.indication) ?? one.indication;
  const state = { find: kept("research.find", ""), stage: kept("research.stage", "") };
  const rows = el("tbody"), count = el("span", { class: "help", role: "status" }), detail = el("div", { class: "stack" });
  const find = text("Find", { value: state.find, help: "in pseudonym and indication", oninput: () => { state.find = find.value; keep("research.find", state.find); table(); } });
  const stage = select("Stage", [{ value: "", label: "any" }, ...stages], { value: state.stage, onchange: () => { state.stage = stage.value; keep("research.stage", state.stage); table(); } });
  const some = () => patients.filter((one) => (!state.stage || one.stage === state.stage) && `${one.pseudonym} ${indication(one)}`.toLowerCase().includes(state.find.trim().toLowerCase()));

  function table() {
    const now = some();
    fill(count, `${now.length} of ${patients.length} patients`);
    fill(rows, now.map((one) => el("tr", { class: one.pseudonym === chosen ? "chosen" : "" }, el("th", { scope: "row" }, el("a", { href: `#/research/${one.pseudonym}`, "aria-current": one.pseudonym === chosen ? "page" : null }, one.pseudonym)), el("td", {}, one.stage), el("td", {}, indication(one) || "–"))));
  }

  const all = button("All timelines, CSV", async () => {
    const now = some(), lines = [];
    const bar = el("progress", { max: Math.max(now.length, 1), value: 0, "aria-label": "timelines fetched" }), stop = new AbortController();
    fill(wrong, el("div", { class: "notice" }, el("div", { class: "spread" }, "Fetching timelines", button("Cancel", () => stop.abort())), bar));
    try {
      for (const one of now) { lines.push(...(await timeline(one.pseudonym, stop.signal)).map((event) => row(one.pseudonym, event))); bar.value += 1; }
      save("timelines.csv", [HEAD, ...lines]);
    } finally { fill(wrong); }
  }, { where: wrong });
  fill(main, el("div", { class: "spread" }, el("h1", {}, "Research"), el("div", { class: "row" }, button("Patients, CSV", () => save("patients.csv", [["pseudonym", "stage", "indication"], ...some().map((one) => [one.pseudonym, one.stage, one.indication])])), all)), wrong,
    el("div", { class: "research" }, el("section", { class: "card" }, el("h2", {}, "Patients"), el("div", { class: "filters" }, find, stage), count,
      patients.length ? el("div", { class: "scroll people", tabindex: 0, role: "region", "aria-label": "patients" }, el("table", {}, el("thead", {}, el("tr", {}, ["pseudonym", "stage", "indication"].map((head) => el("th", { scope: "col" }, head)))), rows)) : el("p", {}, "No patient has been registered yet.")),
    el("div", { class: "stack" }, detail, left(fields))));
  table();
  if (chosen) await latest.run(async (signal) => { try { await open(detail, chosen, signal); } catch (failure) { if (failure.name === "AbortError") throw failure; bench.complain(detail, failure); } });
  else fill(detail, el("section", { class: "card" }, el("h2", {}, "A timeline"), el("p", {}, "Choose a patient to see what happened, in days since their first event.")));
  return () => latest.stop();
}

async function everybody() {
  const patients = [];
  let stages = [];
  for (let after = ""; after !== null;) {
    const page = await get(`/research/patients?limit=200${after && `&after=${after}`}`);
    patients.push(...page.items);
    stages = page.stages;
    after = page.next;
  }
  return { patients, stages };
}

async function timeline(pseudonym, signal) {
  const items = [];
  for (let after = 0; after !== null;) {
    const page = await patient(() => get(`/research/patients/${pseudonym}/timeline?limit=200&after=${after}`, { signal }), signal);
    items.push(...page.items);
    after = page.next;
  }
  return items;
}

/** Asks again a second later where the server says that it was asked too often. */
async function patient(ask, signal) {
  for (;;) {
    try { return await ask(); } catch (failure) {
      if (failure.status !== 429 || signal?.aborted) throw failure;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

const HEAD = ["pseudonym", "day", "event", "fields"];
const row = (pseudonym, event) => [pseudonym, event.day, event.kind, JSON.stringify(event.fields)];

/** Saves rows as CSV. A cell that a spreadsheet would take for a formula is left as text. */
function save(name, rows) {
  const cell = (value) => { let said = String(value ?? ""); if (/^[=+@\t\r]|^-(?![\d.])/.test(said)) said = `'${said}`; return /[",\n\r]/.test(said) ? `"${said.replaceAll('"', '""')}"` : said; };
  const link = el("a", { href: URL.createObjectURL(new Blob([rows.map((one) => one.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function open(detail, pseudonym, signal) {
  const events = (await timeline(pseudonym, signal)).sort((a, b) => a.day - b.day || a.version - b.version);
  if (signal.aborted) return;
  const diaries = events.filter((one) => one.kind === "diary.recorded" && typeof one.fields.average === "number"), visits = events.filter((one) => typeof one.fields.nrs === "number" && one.kind === "visit.recorded");
  const marks = events.filter((one) => /^(lead\.implanted|lead\.removed|trial\.begun|trial\.ended|trial\.judged|generator\.implanted|generator\.removed|revision\.recorded|system\.explanted|complication\.recorded)$/.test(one.kind));
  const node = el("div", { class: "plot" }), body = el("tbody"), steps = [...new Set(marks.map((one) => one.kind))];
  const quiet = check("Show diary days", { checked: !events.some((one) => one.kind !== "diary.recorded"), onchange: () => list() });
  const list = () => fill(body, events.filter((one) => quiet.value || one.kind !== "diary.recorded").map((one) => el("tr", {}, el("td", { class: "n" }, one.day), el("th", { scope: "row" }, words(one.kind)), el("td", {}, Object.entries(one.fields).map(([name, value], k) => [k ? "; " : "", el("span", { class: "help" }, `${words(name)} `), said(name, value)]), !Object.keys(one.fields).length && el("span", { class: "help" }, "its day alone")))));
  list();
  fill(detail, el("section", { class: "card" }, el("div", { class: "spread" }, el("h2", {}, pseudonym), button("This timeline, CSV", () => save(`${pseudonym}.csv`, [HEAD, ...events.map((one) => row(pseudonym, one))]))),
    el("p", { class: "help" }, `${events.length} events over ${events.at(-1).day - events[0].day} days; day 0 is the first one.`), diaries.length + visits.length + marks.length > 0 && node,
    quiet, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `timeline of ${pseudonym}` }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { class: "n", scope: "col" }, "day"), el("th", { scope: "col" }, "event"), el("th", { scope: "col" }, "what is told of it"))), body))));
  if (diaries.length + visits.length + marks.length === 0) return;
  node.style.setProperty("height", `${190 + 24 * steps.length}px`);
  const share = steps.length ? Math.min(0.5, (24 * steps.length) / (130 + 24 * steps.length)) : 0;
  await chart(node, [
    ...(diaries.length ? [{ x: diaries.map((one) => one.day), y: diaries.map((one) => one.fields.average), name: "diary, average of the day", mode: "lines+markers", line: { color: COLOURS[0], width: 1.5 }, marker: { size: 4 }, hovertemplate: "day %{x}: %{y} of 10" }] : []),
    ...(visits.length ? [{ x: visits.map((one) => one.day), y: visits.map((one) => one.fields.nrs), name: "visit", mode: "markers", marker: { symbol: "square", size: 9, color: COLOURS[1] }, hovertemplate: "day %{x}: %{y} of 10" }] : []),
    ...steps.map((kind) => ({ x: marks.filter((one) => one.kind === kind).map((one) => one.day), y: marks.filter((one) => one.kind === kind).map(() => words(kind)), yaxis: "y2", mode: "markers", showlegend: false, marker: { symbol: "diamond", size: 10, color: COLOURS[2] }, hovertemplate: `day %{x}<extra>${words(kind)}</extra>` }))],
  { yaxis: { range: [0, 10.4], domain: [share && share + 0.06, 1], title: { text: "pain (NRS)" } }, yaxis2: { domain: [0, share], type: "category", automargin: true, showgrid: false, visible: steps.length > 0 }, xaxis: { title: { text: "days since the first event" }, anchor: steps.length ? "y2" : "y" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 50, r: 10, t: 30, b: 44 } },
  `Pain in time and what was done: ${marks.map((one) => `day ${one.day} ${words(one.kind)}`).join(", ")}; ${diaries.length} diary days, ${visits.length} visits with pain`, { displayModeBar: false });
}

function left(fields) {
  return el("section", { class: "card" }, el("h2", {}, "What is left out, and why"), el("ul", { class: "left-out" }, fields.left_out.map((one) => el("li", {}, el("strong", {}, `${one.what[0].toUpperCase()}${one.what.slice(1)}: `), one.why, "."))),
    el("details", {}, el("summary", {}, "What is told, field by field"), el("p", { class: "help" }, "An event that is not listed is told by its name and day alone."), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "fields that are told" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "event"), el("th", { scope: "col" }, "fields"))),
      el("tbody", {}, fields.kinds.map((one) => el("tr", {}, el("th", { scope: "row" }, words(one.kind)), el("td", {}, one.fields.map(words).join(", ") || "day alone"))))))));
}
