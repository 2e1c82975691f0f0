// Up to four programs of the draft side by side, each at its own amplitude.

import { work } from "../lib/api.js";
import { el, fill, num } from "../lib/dom.js";
import { button, check, complain } from "../lib/fields.js";
import { mark } from "../lib/marks.js";

const MOST = 4;
const pair = (found, unit) => (found ? `${num(found[0])} to ${num(found[1], unit)}` : null);
const several = (values, unit) => values.map((value) => num(value, unit)).join("; ");

/** Rows of the table: name, unit, and text of a program. */
const ROWS = [
  ["type and contacts", (each) => each.words.join("; ").replaceAll(" us", " µs")],
  ["amplitude", (each) => several(each.levels_mA, "mA")],
  ["perception", (each) => several(each.perception_mA, "mA")],
  ["discomfort", (each) => several(each.discomfort_mA, "mA")],
  ["usage range", (each) => each.perception_mA.map((low, k) => (low && each.discomfort_mA[k] ? `${num(each.discomfort_mA[k] / low, "", 1, 3)} × perception` : "–")).join("; ")],
  ["pain covered", (each) => (each.covered === null ? "no pain drawn" : `${Math.round(100 * each.covered)} %`)],
  ["felt elsewhere", (each) => `${each.spill.length} dermatomes`],
  ["charge of a phase", (each) => num(each.electrodes?.charge_per_phase_uC, "µC")],
  ["charge density", (each) => num(each.electrodes?.charge_density_uC_cm2, "µC/cm²")],
  ["Shannon k", (each) => num(each.electrodes?.shannon_k)],
  ["voltage needed", (each) => num(each.electrodes?.voltage_needed_V, "V")],
  ["power into tissue", (each) => num(each.electrodes?.mean_power_uW, "µW")],
  ["battery", (each) => { const power = each.electrodes?.power; return power ? pair(power.life_years, "years") ?? (power.recharge_days ? `recharge every ${pair(power.recharge_days, "days")}` : "not known") : "no generator chosen"; }],
  ["generator", (each) => (each.electrodes?.power ? each.electrodes.violations.length ? `cannot: ${each.electrodes.violations.map((one) => one.quantity).join(", ")}` : "can deliver it" : "no generator chosen")],
];

export function comparison(room) {
  const chosen = el("div", { class: "row" }), body = el("div", {}), problem = el("div", {}), actions = el("div", { class: "row" });
  const node = el("section", { class: "card", "aria-labelledby": "compare" }, el("h2", { id: "compare" }, "Compare programs"), chosen, actions, problem, body);
  let which = null, found = null, asked = "", areas = null, running = null;

  const key = () => JSON.stringify([room.draft.case, picked()]);
  const picked = () => { const count = room.draft.case.programs.length; return (which ?? [0, 1, 2, 3]).filter((i) => i < count).slice(0, MOST); };

  function draw() {
    const programs = room.draft.case.programs;
    fill(chosen, programs.length > MOST && programs.map((each, i) => {
      const box = check(each.name, { checked: picked().includes(i), onchange: () => { const now = new Set(picked()); if (box.value) now.add(i); else now.delete(i); which = [...now].sort((a, b) => a - b).slice(-MOST); draw(); } });
      return box;
    }));
    if (running) return;
    const old = found && asked !== key();
    fill(actions, programs.length < 2 ? el("p", { class: "help" }, "Add or duplicate a program to compare it with this one.") : null,
      button(found && !old ? "Compute again" : programs.length > 1 ? `Compare ${picked().length} programs` : "Show its figures", run, { where: problem }), found && button("Save the table (CSV)", save), old && el("span", { class: "tag warn" }, "the draft has changed since"));
  }

  async function run() {
    const bar = el("progress", { max: 1, style: { "max-width": "20rem" } }), words = el("span", {}, "…"), mine = running = new AbortController();
    const now = key(), hurts = room.draft.case.patient?.pain.areas;
    fill(problem);
    fill(actions, words, bar, button("Cancel", () => mine.abort()));
    try {
      found = (await work("/program/compare", { case: room.draft.case, programs: picked() }, { signal: mine.signal, progress: (said, share) => { fill(words, said); if (share > 0) bar.value = share; } })).programs;
      asked = now;
      areas = hurts;
      show();
    } catch (failure) { if (failure.name !== "AbortError") complain(problem, failure); } finally { running = null; draw(); }
  }

  function show() {
    fill(body, el("div", { class: "cards" }, found.map((each) => {
      const map = document.createElement("body-map");
      map.drawing = room.drawing;
      map.pain = areas;
      map.felt = Object.fromEntries(each.felt.map((key_) => [key_, 1]));
      return el("div", { class: "card" }, el("h3", {}, each.name, mark(each.evidence)), map, el("dl", { class: "facts" }, ROWS.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value(each))])),
        !each.paraesthesia && el("p", { class: "help" }, "Not meant to be felt: coverage says nothing about what it does."), each.warnings.map((line) => el("div", { class: "notice warn" }, line)), button("Open", () => { room.open(each.program); scrollTo({ top: 0 }); }));
    })));
  }

  function save() {
    const quote = (text) => `"${String(text).replaceAll("\u00a0", " ").replaceAll('"', '""').replace(/^([=+@-])/, "'$1")}"`;
    const lines = [["", ...found.map((each) => each.name)], ...ROWS.map(([name, value]) => [name, ...found.map(value)]), ["felt", ...found.map((each) => each.felt.join(" "))]];
    room.download("programs.csv", lines.map((line) => line.map(quote).join(",")).join("\r\n") + "\r\n", "text/csv");
  }

  return { node, draw, stop: () => running?.abort() };
}
