// Clinic: who is where, who is late, outcomes beside published rates; safety notices; the table of drugs on clotting.

import { get, post, put, tagged } from "../lib/api.js";
import { COLOURS, chart } from "../lib/charts.js";
import { day, el, fill, fresh, num, svg } from "../lib/dom.js";
import { area, button, complain, text } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mark } from "../lib/marks.js";

const PARTS = { "": "Today", outcomes: "Outcomes", recalls: "Safety notices", drugs: "Drugs on clotting" };
const QUIET = { displayModeBar: false };
const room = () => innerWidth > 700; // for numbers beside the points; they stand in the tables, too
const MOST = 12; // rows of a list that are shown at once
const PUBLISHED = "#a84300";

export default async function (main, bench) {
  styles();
  const part = bench.parts[0] ?? "";
  const place = el("div", { class: "stack" });
  fill(main, el("div", { class: "spread" }, el("h1", {}, "Clinic"),
    el("nav", { class: "parts", "aria-label": "parts of the clinic" }, Object.entries(PARTS).map(([key, name]) => el("a", { href: `#/clinic${key && `/${key}`}`, "aria-current": key === part ? "page" : null }, name)))), place);
  if (!(part in PARTS)) { fill(place, el("p", {}, "There is no such part of the clinic.")); return; }
  await { "": today, outcomes, recalls, drugs }[part](place, bench);
}

function styles() {
  if (!document.querySelector('link[href="/web/rooms/clinic.css"]')) document.head.append(el("link", { rel: "stylesheet", href: "/web/rooms/clinic.css" }));
}

const patientLink = (id, pseudonym) => el("a", { href: `#/pathway/${id}`, class: "whole" }, pseudonym);
const whole = (words) => el("span", { class: "whole" }, words);
const table = (head, rows, { numbers = [], caption = "", wide = false } = {}) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, el("table", { class: wide ? "wide" : null }, el("caption", { class: "sr" }, caption),
  el("thead", {}, el("tr", {}, head.map((one, k) => el("th", { scope: "col", class: numbers.includes(k) ? "n" : null }, one)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, k) => el("td", { class: numbers.includes(k) ? "n" : null }, cell)))))));

/** A table whose further rows come on demand. */
function listed(head, rows, options, empty) {
  if (!rows.length) return el("p", { class: "help" }, empty);
  const node = el("div", {});
  const draw = (all) => fill(node, table(head, all ? rows : rows.slice(0, MOST), options), !all && rows.length > MOST && button(`Show all ${rows.length}`, () => draw(true), { kind: "quiet" }));
  draw(false);
  return node;
}

/** What is shown as a file for a spreadsheet; text that one would take for a formula gets an apostrophe in front. */
function csv(name, head, rows) {
  const cell = (value) => { const words = value === null || value === undefined ? "" : typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value); return /[",\n\r]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words; };
  return button("CSV", () => {
    const link = el("a", { download: name, href: URL.createObjectURL(new Blob([[head, ...rows].map((row) => row.map(cell).join(",")).join("\n"), "\n"], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, { kind: "quiet", title: `${name}, for a spreadsheet`, "aria-label": `CSV of ${name}` });
}

// ---- today

async function today(place) {
  const found = await get("/clinic/overview");
  const alarms = Object.entries(Object.groupBy(found.late, (one) => one.alarm)).map(([name, all]) => `${all.length} × ${name}`);
  fill(place,
    el("section", { class: "card sums" }, sum(found.patients, "patients on record"), sum(found.late.length, "late or open"), sum(found.due.length, found.due.length === 1 ? "visit is due" : "visits are due"),
      sum(found.died, "died"), sum(found.erased, "erased"), el("p", { class: "help" }, `On ${day(found.today)}. ${alarms.length ? alarms.join(", ") : "Nobody is late"}.`)),
    el("div", { class: "grid halves" }, where(found), el("div", { class: "stack" },
      el("section", { class: "card" }, head("Who is late", csv("late.csv", ["what", "patient", "details", "since", "days"], found.late.map((one) => [one.alarm, one.pseudonym, one.words, one.since, one.days]))),
        listed(["What", "Patient", "", "Since", "Days"], found.late.map((one) => [el("span", { class: "tag warn" }, one.alarm), patientLink(one.patient, one.pseudonym), one.words, whole(day(one.since)), num(one.days)]), { numbers: [4], caption: "who is late", wide: true }, "Nobody is late.")),
      el("section", { class: "card" }, head("Visits that are due", csv("due.csv", ["patient", "visit", "from", "to"], found.due.map((one) => [one.pseudonym, one.visit, one.opens, one.closes]))),
        listed(["Patient", "Visit", "From", "To"], found.due.map((one) => [patientLink(one.patient, one.pseudonym), one.visit, whole(day(one.opens)), whole(day(one.closes))]), { caption: "visits that are due" }, "No visit is due.")))));
}

const head = (words, ...more) => el("div", { class: "spread" }, el("h2", {}, words), more);
const sum = (count, words) => el("div", { class: "sum" }, el("strong", {}, count.toLocaleString("en")), " ", el("span", {}, words));

function where(found) {
  const most = Math.max(1, ...Object.values(found.stages));
  const rows = Object.entries(found.stages).map(([stage, count]) => {
    const id = fresh("stage"), list = el("div", { id, class: "people", hidden: true });
    const open = button([el("span", { class: "stage" }, stage), el("span", { class: "bar", style: { "--share": `${(100 * count) / most}%` } }), el("span", { class: "count" }, String(count))], async () => {
      if (list.hidden && !list.childNodes.length) fill(list, await people(stage));
      list.hidden = !list.hidden;
      open.setAttribute("aria-expanded", String(!list.hidden));
    }, { kind: "line", "aria-expanded": "false", "aria-controls": id, "aria-label": `${stage}: ${count}` });
    return el("li", {}, open, list);
  });
  return el("section", { class: "card" }, el("h2", {}, "Who is where"), rows.length ? el("ul", { class: "stages" }, rows) : el("p", { class: "help" }, "No patients yet. Refer one in the room Pathway."));
}

async function people(stage) {
  const node = el("ul", {});
  const more = async (after) => {
    const found = await get(`/patients?stage=${encodeURIComponent(stage)}&limit=60&after=${after}`);
    node.append(...found.items.map((one) => el("li", {}, patientLink(one.id, one.pseudonym), el("span", { class: "help" }, ` since ${day(one.since)}`))));
    if (found.next) { const go = el("li", {}, button("more", async () => { go.remove(); await more(found.next); }, { kind: "quiet" })); node.append(go); }
  };
  await more("");
  return node;
}

// ---- outcomes

const share = (one) => (!one.n ? "–" : one.percent === null ? whole(`${one.k} of ${one.n}`) : [whole(`${one.percent.toFixed(0)} %`), " ", el("span", { class: "help" }, whole(`(${one.low.toFixed(0)} to ${one.high.toFixed(0)} %)`), ", ", whole(`${one.k} of ${one.n}`))]);
const unitOf = (one) => (one.words.startsWith("change") ? "NRS" : "%");

function published(rows, name) {
  if (!rows.length) return null;
  return el("details", {}, el("summary", {}, `Published figures beside it (${rows.length})`), table(["Of", "Value", "Interval or range", "People", "What", "Source"], rows.map((one) => [
    one.name, [one.value === null ? "–" : num(one.value, unitOf(one)), mark({ unverified: one.unverified, evidence: one.unverified ? "recall" : "", name: one.name, source: one.source, note: "from memory or a judgement" })],
    one.low === null || one.high === null ? "" : `${num(one.low)} to ${num(one.high, unitOf(one))}`, one.n === null ? "" : num(one.n, "", 1, 7), one.words, one.source]), { numbers: [1, 2, 3], wide: true, caption: `published figures: ${name}` }));
}

const months = (count) => `${count} month${count === 1 ? "" : "s"}`;
const drawing = (node) => el("div", { class: "drawing" }, node);

async function outcomes(place) {
  const found = await get("/clinic/overview");
  const drawn = { responders: el("div", { class: "plot" }), infections: el("div", { class: "plot" }), explants: el("div", { class: "plot" }) };
  const seen = found.outcomes, one = found.explants, run = found.run_chart;
  fill(place, el("div", { class: "grid halves" },
    el("section", { class: "card" }, head("Pain at the visits", csv("outcomes.csv", ["months", "expected", "seen", "half of the pain gone", "of", "30 % gone", "half gone, of all expected", "of all", "mean change of NRS", "low", "high"],
      seen.map((each) => [each.months, each.expected, each.seen, each.responder50.k, each.responder50.n, each.responder30.k, each.responder50_of_all.k, each.responder50_of_all.n, each.change, each.change_low, each.change_high]))),
    drawing(drawn.responders),
    table(["After", "Seen, of expected", "Half of the pain gone, of those seen", "30 % gone, of those seen", "Half gone, of all expected", "Change of NRS"], seen.map((each) => [whole(months(each.months)), whole(`${each.seen} of ${each.expected}`), share(each.responder50), share(each.responder30), share(each.responder50_of_all),
      each.change === null ? "–" : [whole(each.change.toFixed(1)), " ", el("span", { class: "help whole" }, `(${each.change_low.toFixed(1)} to ${each.change_high.toFixed(1)})`)]]), { caption: "pain at the visits" }),
    el("p", { class: "help" }, "Intervals: 95 %, Wilson for shares, Student for the mean. Of all expected, those not seen or without a system any more count as no responders."),
    published(seen.flatMap((each) => each.published.map((row) => ({ ...row, name: `${each.months} mo: ${row.name}` }))), "outcomes")),
    el("section", { class: "card" }, el("h2", {}, "Share that still has the system"), one.n ? [el("p", {}, `${one.explants} of ${one.n} systems were taken out${one.explants ? `: ${Object.entries(one.reasons).sort((a, b) => b[1] - a[1]).map(([why, count]) => `${why} ${count}`).join(", ")}` : ""}.`), drawing(drawn.explants),
      table(["After", "Still has the system", "95 % interval", "At risk"], one.at.map((each) => [whole(months(each.month)), each.share === null ? "too few at risk" : `${each.share.toFixed(1)} %`, each.low === null ? "–" : `${each.low.toFixed(1)} to ${each.high.toFixed(1)} %`, each.at_risk]), { numbers: [3], caption: "share that still has the system" })] : el("p", { class: "help" }, "Nobody was implanted."), published(one.published, "explants")),
    el("section", { class: "card" }, el("h2", {}, "Infections"), el("p", {}, found.infection.n ? [share(found.infection), `: ${found.infection_words.join("; ")}.`] : "Nobody was implanted a year ago or more."), run.points.length ? drawing(drawn.infections) : null, run.signals.map((each) => el("div", { class: "notice warn" }, each)), el("p", { class: "help" }, `${run.words[0].toUpperCase()}${run.words.slice(1)}.`),
      published(found.infection_published, "infections")),
    el("section", { class: "card" }, el("h2", {}, "From trial to implant"), el("p", { class: "large" }, share(found.trial_to_implant)), el("p", {}, `of the trials that are over led to an implant; ${found.trials_waiting} that succeeded ${found.trials_waiting === 1 ? "waits" : "wait"} for theirs.`), published(found.trial_published, "trial to implant")),
    el("section", { class: "card across" }, el("h2", {}, "Complications"), listed(["Kind", "People, of the implanted", "Events, trials included", "Published", ""], found.complications.map((each) => {
        const beside = each.published;
        return [each.kind.replaceAll("-", " "), share(each.share), each.events, beside ? [[beside.value === null ? "" : num(beside.value), beside.low !== null && beside.high !== null ? `(${num(beside.low)} to ${num(beside.high)})` : ""].filter(Boolean).join(" "), " %, ", beside.source,
          mark({ unverified: beside.unverified, evidence: beside.unverified ? "recall" : "", name: each.kind, source: beside.source })] : "–", each.words.join("; ")];
      }), { numbers: [2], caption: "complications", wide: true }, "None is on record."))),
  el("ul", { class: "help notes" }, found.notes.map((note) => el("li", {}, note))));
  await Promise.all([responders(drawn.responders, seen), one.n && explants(drawn.explants, one), run.points.length && infections(drawn.infections, run)]);
}

const bars = (rows, colour) => ({ type: "data", symmetric: false, array: rows.map((each) => each.high - each.percent), arrayminus: rows.map((each) => each.percent - each.low), thickness: 1.6, width: 5, color: colour });

function responders(node, all) {
  const series = (name, words, k, shift, symbol) => {
    const shown = all.map((each, place) => [place + shift, each[name]]).filter(([, each]) => each.percent !== null);
    return { x: shown.map(([x]) => x), y: shown.map(([, each]) => each.percent), mode: room() ? "markers+text" : "markers", type: "scatter", name: words, marker: { color: COLOURS[k], size: 10, symbol }, error_y: bars(shown.map(([, each]) => each), COLOURS[k]),
      text: shown.map(([, each]) => `${each.k}/${each.n}`), textposition: "middle right", textfont: { size: 11 }, hovertemplate: "%{text}: %{y:.0f} %<extra></extra>" };
  };
  const spots = all.flatMap((each, place) => each.published.filter((row) => row.words.startsWith("responder50") && row.value !== null).map((row) => [place - 0.36, row]));
  return chart(node, [series("responder50", "half of the pain gone", 0, -0.14, "circle"), series("responder30", "30 % of the pain gone", 2, 0.26, "square"),
    { x: spots.map(([x]) => x), y: spots.map(([, row]) => row.value), mode: "markers", type: "scatter", name: "published, half of the pain gone", marker: { color: PUBLISHED, size: 9, symbol: "diamond-open", line: { width: 1.6 } }, text: spots.map(([, row]) => `${row.name}, ${row.words}`), hovertemplate: "%{text}: %{y:.0f} %<extra></extra>" }],
  { height: 340, xaxis: { tickvals: all.map((_, k) => k), ticktext: all.map((each) => months(each.months)), range: [-0.5, all.length - 0.35], zeroline: false }, yaxis: { title: { text: "% of those seen" }, range: [0, 100] } },
  `Responders of those seen. ${all.map((each) => `After ${months(each.months)}: ${each.responder50.k} of ${each.responder50.n} with half of the pain gone, ${each.responder30.k} with 30 %.`).join(" ")}`, QUIET);
}

function explants(node, one) {
  const last = Math.max(12, ...one.months, ...one.at.filter((each) => each.at_risk).map((each) => each.month));
  const shown = one.at.filter((each) => each.low !== null && each.share !== null).map((each) => ({ ...each, percent: each.share }));
  const theirs = one.published.filter((each) => each.name.startsWith("explant-free") && each.value !== null).map((each) => [12 * Number(each.name.split(" ").at(-2)), each]).filter(([month]) => month <= last);
  const low = Math.min(100, ...one.share, ...shown.map((each) => each.low), ...theirs.map(([, each]) => each.value));
  return chart(node, [
    { x: [0, ...one.months, last], y: [100, ...one.share, one.share.at(-1) ?? 100], mode: "lines", type: "scatter", line: { shape: "hv", color: COLOURS[0], width: 2.5 }, name: "this clinic (Kaplan-Meier)", hovertemplate: "%{y:.1f} %<extra></extra>" },
    { x: shown.map((each) => each.month), y: shown.map((each) => each.percent), mode: room() ? "markers+text" : "markers", type: "scatter", name: "with 95 % interval, and people at risk", marker: { color: COLOURS[0], size: 9 }, error_y: bars(shown, COLOURS[0]), text: shown.map((each) => `${each.at_risk} at risk`), textposition: "bottom right", textfont: { size: 11 } },
    { x: theirs.map(([month]) => month), y: theirs.map(([, each]) => each.value), mode: "markers", type: "scatter", name: "published", marker: { color: PUBLISHED, size: 9, symbol: "diamond-open", line: { width: 1.6 } }, text: theirs.map(([, each]) => `${each.name}, ${each.source}`), hovertemplate: "%{text}: %{y:.1f} %<extra></extra>" }],
  { height: 340, xaxis: { title: { text: "months after the implant" }, range: [0, 1.18 * last], dtick: last > 40 ? 12 : 6 }, yaxis: { title: { text: "% with the system" }, range: [Math.max(0, 10 * Math.floor(low / 10) - 10), 101] }, legend: { orientation: "h", y: -0.32 } },
  `Share that still has the system. ${one.at.filter((each) => each.share !== null).map((each) => `After ${months(each.month)}: ${each.share.toFixed(1)} %, ${each.at_risk} at risk.`).join(" ")}`, QUIET);
}

function infections(node, run) {
  const top = 1.2 * Math.max(1, ...run.points.map((each) => each.value));
  return chart(node, [{ x: run.points.map((each) => each.quarter), y: run.points.map((each) => each.value), mode: room() ? "lines+markers+text" : "lines+markers", type: "scatter", line: { color: COLOURS[0], width: 2 }, name: "infections",
    marker: { size: 10, symbol: run.points.map((each) => (each.open ? "circle-open" : "circle")), color: COLOURS[0], line: { width: 2 } }, text: run.points.map((each) => `${each.k}/${each.n}`), textposition: "top center", textfont: { size: 11 }, hovertemplate: "%{x}: %{text}<extra></extra>", cliponaxis: false }],
  { height: 300, showlegend: false, xaxis: { type: "category" }, yaxis: { title: { text: run.unit === "%" ? "% of implants" : "people with an infection" }, range: [0, top], dtick: run.unit === "count" && top < 10 ? 1 : undefined },
    shapes: run.median === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: run.median, y1: run.median, line: { dash: "dash", width: 1.5, color: "#8a8a8a" } }],
    annotations: run.median === null ? [] : [{ xref: "paper", yref: "paper", x: 1, y: 1.02, xanchor: "right", yanchor: "bottom", text: `dashed: median ${num(run.median)}${run.unit === "%" ? " %" : ""}`, showarrow: false }] },
  `Infections by quarter of the implant. ${run.points.map((each) => `${each.quarter}: ${each.k} of ${each.n}`).join(", ")}.`, QUIET);
}

// ---- safety notices

async function recalls(place, bench) {
  const [leads, generators] = await Promise.all([get("/leads"), get("/generators")]);
  const makers = [...new Set([...leads.items, ...generators.items].map((one) => one.manufacturer))].sort();
  const start = kept("recall", {}), result = el("div", {}), problems = el("div", {});
  const list = el("datalist", { id: fresh("makers") }, makers.map((one) => el("option", { value: one })));
  const save = () => keep("recall", Object.fromEntries(Object.entries(all).map(([name, one]) => [name, one.value])));
  const lines = (label, help, value) => area(label, { rows: 2, maxlength: 4000, help, value, oninput: save, wide: false });
  const all = {
    notice: text("Number of the notice", { value: start.notice ?? "", oninput: save, help: "as the manufacturer numbers it" }),
    manufacturer: text("Manufacturer", { value: start.manufacturer ?? "", oninput: save, required: true, maxlength: 200 }),
    on: text("Day of the notice", { type: "date", value: start.on ?? "", oninput: save, required: true }),
    models: lines("Models", "one in a line; none: every model of the manufacturer", start.models ?? ""),
    serials: lines("Serial numbers", "one in a line", start.serials ?? ""),
    serial_ranges: lines("Ranges of serial numbers", "first and last in a line, such as AB1000 to AB1999", start.serial_ranges ?? ""),
    lots: lines("Lots", "one in a line", start.lots ?? ""),
    reason: text("What is wrong", { value: start.reason ?? "", oninput: save, maxlength: 500 }),
    action: text("What to do", { value: start.action ?? "", oninput: save, required: true, maxlength: 500 }),
    source: text("Where the notice can be read", { value: start.source ?? "", oninput: save, required: true, maxlength: 500 }),
  };
  all.manufacturer.input.setAttribute("list", list.id);
  const split = (name) => all[name].value.split("\n").map((one) => one.trim()).filter(Boolean);
  const asked = () => ({ manufacturer: all.manufacturer.value.trim(), on: all.on.value, reason: all.reason.value.trim(), action: all.action.value.trim(), source: all.source.value.trim(),
    models: split("models"), serials: split("serials"), lots: split("lots"), serial_ranges: split("serial_ranges").map((one) => one.split(/\s+(?:to|-|–)\s+|\s*[,;]\s*/)) });
  const form = el("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    for (const one of Object.values(all)) one.wrong("");
    fill(problems);
    go.disabled = true;
    try { await show(await post("/recalls/affected", { recalls: [asked()] })); } catch (failure) {
      const name = failure.error?.where?.match(/recalls\[0\]\.(\w+)/)?.[1];
      if (all[name]) { all[name].wrong([failure.error.problem, failure.error.allowed && `allowed: ${failure.error.allowed}`].filter(Boolean).join("; ")); all[name].input.focus(); } else complain(problems, failure);
    } finally { go.disabled = false; }
  } }, el("h2", {}, "A safety notice"), el("p", { class: "help" }, "Finds the patients whose leads or generator it is about, or may be."), list, el("div", { class: "two" }, all.notice, all.manufacturer, all.on, all.reason), el("div", { class: "two" }, all.models, all.serials, all.serial_ranges, all.lots),
  el("div", { class: "two" }, all.action, all.source), problems, el("div", { class: "row" }, el("button", { type: "submit", class: "main" }, "Find the patients"), button("Empty the form", () => { keep("recall", null); for (const one of Object.values(all)) { one.value = ""; one.wrong(""); } fill(result); }, { kind: "quiet" })));
  const go = form.querySelector("button.main");
  fill(place, el("div", { class: "grid halves" }, form, result));

  async function show(found) {
    const sure = found.items.filter((one) => one.sure).length;
    fill(result, el("section", { class: "card", "aria-live": "polite" }, head("Patients", csv("affected.csv", ["patient", "part", "manufacturer", "model", "serial", "lot", "implanted", "sure", "why"], found.items.map((one) => [one.pseudonym, one.part, one.device.manufacturer, one.device.model, one.device.serial, one.device.lot, one.device.implanted, one.sure ? "yes" : "look it up", one.why]))),
      el("p", {}, found.items.length ? `${sure} for sure, ${found.items.length - sure} to be looked up by hand. Generators that were exchanged before are not looked at.` : "No part on record is of this notice. Generators that were exchanged before are not looked at."),
      found.items.length ? listed(["Patient", "Part", "Model", "Serial, lot", "Implanted", "", ""], found.items.map((one) => [patientLink(one.patient, one.pseudonym), one.part, `${one.device.manufacturer} ${one.device.model}`, one.device.serial || one.device.lot ? [whole(one.device.serial), " ", whole(one.device.lot)] : "not recorded", whole(day(one.device.implanted)),
        [el("span", { class: `tag ${one.sure ? "bad" : "warn"}` }, one.sure ? "affected" : "look it up"), el("div", { class: "help" }, one.why)], noted(one)]), { caption: "patients of the notice", wide: true }) : null));
  }
  function noted(one) {
    const where = el("div", {});
    return el("div", {}, button("Note in record", async (event) => {
      const notice = all.notice.value.trim();
      if (!notice) { all.notice.wrong("needed to note it in a record"); all.notice.input.focus(); return; }
      const { etag, value } = await tagged(`/patients/${one.patient}`);
      const part = one.part.replace(/^lead /, "");
      if (value.state.recalls && Object.values(value.state.recalls).some((each) => each.notice === notice && each.part === part)) { fill(where, el("span", { class: "tag" }, "it is in the record already")); return; }
      const sent = await bench.outbox.put({ method: "POST", path: `/patients/${one.patient}/events`, etag, words: `safety notice of ${one.pseudonym}`, body: { events: [{ kind: "device.recalled", on: new Date().toISOString().slice(0, 10), notice, part, state: "affected" }] } });
      event.target.remove();
      fill(where, el("span", { class: "tag good" }, sent ? "noted" : "kept, will be sent"));
    }, { where }), where);
  }
}

// ---- drugs on clotting

const STATES = { signed: ["signed", "good", "holds"], empty: ["empty", "bad", "locked: nobody has filled it in"], unsigned: ["not signed", "bad", "locked: nobody has signed it"], changed: ["changed", "bad", "locked: changed after it was signed"], future: ["dated later", "bad", "locked: the signature is of a later day"], expired: ["review is due", "bad", "locked: past its review date"] };
const lock = () => svg("svg", { viewBox: "0 0 12 14", width: 10, height: 12, class: "lock", "aria-hidden": "true" }, svg("path", { d: "M3 6V4a3 3 0 0 1 6 0v2", fill: "none", stroke: "currentColor", "stroke-width": 1.6 }), svg("rect", { x: 1, y: 6, width: 10, height: 7, rx: 1.5, fill: "currentColor" }));
/** Seconds as people say them: hours, and days from three on. */
const span = (written) => { const hours = parseFloat(written) / 3600; return hours === 0 ? "goes on" : hours >= 72 ? `${num(hours / 24)} days` : `${num(hours)} h`; };

async function drugs(place, bench) {
  const physician = bench.me.person.role === "physician", box = el("div", {});
  const search = text("Find a drug", { oninput: () => draw() });
  let items = (await get("/anticoagulants")).items;
  const redraw = (changed) => { items = items.map((one) => (one.drug === changed.drug ? changed : one)); draw(); };
  fill(place, el("section", { class: "card" }, el("h2", {}, "How long drugs on clotting are held"), el("p", {}, "No time comes with the software. A physician reads the guideline, fills a row in and signs it; until then the row is locked and gives no date. A row that is changed needs a new signature."),
    physician ? null : el("p", { class: "help" }, "Physicians fill in and sign; you can read."), search, box));
  const draw = () => {
    const wanted = search.value.trim().toLowerCase(), shown = items.filter((one) => `${one.drug} ${one.about.kind}`.toLowerCase().includes(wanted));
    const signed = items.filter((one) => one.state === "signed").length;
    fill(box, el("p", { role: "status" }, `${signed} of ${items.length} rows are signed and hold; ${items.length - signed} are locked.`), table(["Drug", "State", "Stop before", "Restart after", "Tests, conditions", "Signed", ""], shown.map((one) => {
      const [words, kind, meaning] = STATES[one.state] ?? [one.state, "bad", "locked"], row = one.row, signature = one.signature;
      return [[el("strong", {}, one.drug), el("div", { class: "help" }, one.about.kind)], [el("span", { class: `tag ${kind}` }, kind === "good" ? "✓ " : [lock(), " "], words), el("div", { class: "help" }, meaning)],
        row ? span(row.stop_before) : "–", row ? span(row.restart_after) : "–", row ? [row.tests, row.conditions && el("div", { class: "help" }, `does not hold for: ${row.conditions}`), el("div", { class: "help" }, `read: ${row.source_read}`)] : "–",
        signature ? [`${signature.name}, ${signature.role}`, el("div", { class: "help" }, `${signature.registration}; ${day(signature.on)}, review by ${day(signature.review_by)}`)] : "–",
        physician ? el("div", { class: "row" }, button(row ? "Change" : "Fill in", () => filling(one, redraw), { "aria-label": `${row ? "Change" : "Fill in"} ${one.drug}` }), row && one.state !== "signed" && button("Sign", () => signing(one, redraw), { kind: "main", "aria-label": `Sign ${one.drug}` })) : ""];
    }), { caption: "drugs on clotting", wide: true }));
  };
  draw();
}

function dialog(title, content, submit, label) {
  const id = fresh("d"), where = el("div", {}), go = el("button", { type: "submit", class: "main" }, label);
  const box = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), el("form", { onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    try { await submit(); box.close(); } catch (failure) { complain(where, failure); } finally { go.disabled = false; }
  } }, content, where, el("div", { class: "row" }, go, button("Cancel", () => box.close()))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

function filling(one, redraw) {
  const name = `drug.${one.drug}`, start = kept(name) ?? (one.row ? { ...one.row, stop_before: `${parseFloat(one.row.stop_before) / 3600} h`, restart_after: `${parseFloat(one.row.restart_after) / 3600} h` } : {});
  const save = () => keep(name, values());
  const all = {
    stop_before: text("Stop before the procedure", { value: start.stop_before ?? "", oninput: save, required: true, maxlength: 40, help: "with its unit, such as 36 h or 5 d; 0 h: it goes on" }),
    restart_after: text("Restart after the procedure", { value: start.restart_after ?? "", oninput: save, required: true, maxlength: 40, help: "with its unit" }),
    tests: area("Tests before the procedure, and what they must show", { value: start.tests ?? "", oninput: save, rows: 2, maxlength: 2000 }),
    conditions: area("When the row does not hold", { value: start.conditions ?? "", oninput: save, rows: 2, maxlength: 2000, help: "such as a poor kidney" }),
    source_read: text("What you read", { value: start.source_read ?? "", oninput: save, required: true, maxlength: 1000, help: "edition and page" }),
  };
  const values = () => Object.fromEntries(Object.entries(all).map(([key, each]) => [key, each.value.trim()]));
  dialog(`Hold times of ${one.drug}`, [el("p", { class: "help" }, `Guideline: ${one.about.guideline} (${one.about.doi_or_url}). ${one.about.note}`), Object.values(all)], async () => {
    const changed = await put(`/anticoagulants/${encodeURIComponent(one.drug)}`, values());
    keep(name, null);
    redraw(changed);
  }, "Fill in");
}

function signing(one, redraw) {
  const profession = text("Profession", { required: true, maxlength: 200, value: kept("profession", "") }), registration = text("Registration number", { required: true, maxlength: 200, value: kept("registration", "") });
  const review = text("Review by", { type: "date", required: true, help: "the last day on which your signature holds" });
  const row = one.row, facts = [["Stop before", span(row.stop_before)], ["Restart after", span(row.restart_after)], ["Tests", row.tests || "none"], ["Does not hold for", row.conditions || "nothing named"], ["Read", row.source_read]];
  dialog(`Sign ${one.drug}`, [el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])), el("p", {}, "You sign with your own name what stands here, and nothing else."), profession, registration, review], async () => {
    keep("profession", profession.value);
    keep("registration", registration.value);
    redraw(await post(`/anticoagulants/${encodeURIComponent(one.drug)}/sign`, { row: one.key, profession: profession.value, registration: registration.value, review_by: review.value }));
  }, "Sign");
}
