// Parts of forms that a schema alone cannot draw: areas on the body, drugs on clotting, the bundle, a program, a questionnaire.

import { get, post } from "../lib/api.js";
import { el, fill, fresh } from "../lib/dom.js";
import { button, choice, complain, number, select, text } from "../lib/fields.js";
import { pretty, radio, ticks } from "../lib/form.js";
import { mark } from "../lib/marks.js";
import { today } from "./pathway-kinds.js";

const shown = (words) => { const node = el("span", { class: "problem", role: "alert" }, words ?? ""); return node; };
const problems = (node) => ({ wrong: (_, words) => { fill(node, words); return true; }, clear: () => fill(node), check: () => true });

/** Name of an area with its side, such as "left whole leg". */
export function areaName(drawing, id) {
  const [, side = "", bare = id] = /^(?:(left|right)-)?(.*)$/.exec(id);
  const found = drawing.areas.find((one) => one.id === id) ?? drawing.areas.find((one) => one.id === bare);
  return `${drawing.areas.some((one) => one.id === id) ? "" : side ? `${side} ` : ""}${found?.name ?? pretty(bare)}`;
}

function areas({ label, value, hint, form }) {
  const { drawing } = form.options, chosen = new Set(value ?? []);
  const chips = el("div", { class: "chips", "aria-label": label }), near = el("div", { class: "near", "aria-live": "polite" }), problem = shown();
  const map = document.createElement("body-map");
  const which = select("Area", drawing.areas.map((one) => ({ value: one.id, label: one.name }))), side = select("Side", [{ value: "", label: "both sides, or middle" }, "left", "right"]);
  const changed = () => { paint(); node.dispatchEvent(new Event("change", { bubbles: true })); };
  const toggle = (id) => { if (chosen.has(id)) chosen.delete(id); else chosen.add(id); changed(); };
  const paint = () => {
    fill(chips, [...chosen].map((id) => el("span", { class: "chip", role: "listitem" }, areaName(drawing, id), el("button", { type: "button", class: "quiet", "aria-label": `remove ${areaName(drawing, id)}`, onclick: () => toggle(id) }, "×"))),
      !chosen.size && el("span", { class: "help" }, "nothing marked yet"));
    chips.setAttribute("role", chosen.size ? "list" : "group");
    map.chosen = chosen;
    map.marked = []; // a dermatome is pointed at to ask for its areas, and does not hurt as a whole
    for (const one of near.querySelectorAll("button")) one.setAttribute("aria-pressed", String(chosen.has(one.dataset.area)));
  };
  map.addEventListener("pick", ({ detail: { dermatome, side: hand } }) => {
    const all = drawing.areas.filter((one) => one.dermatomes.includes(dermatome)).sort((a, b) => a.dermatomes.length - b.dermatomes.length);
    fill(near, el("strong", {}, `${hand} ${dermatome} is part of: `), all.map((one) => el("button", { type: "button", "data-area": `${hand}-${one.id}`, "aria-pressed": "false", onclick: () => toggle(`${hand}-${one.id}`) }, `${hand} ${one.name}`)));
    paint();
  });
  const node = el("fieldset", { class: "group wide areas" }, el("legend", {}, label), chips,
    el("div", { class: "row" }, which, side, el("button", { type: "button", onclick: () => { chosen.add(side.value ? `${side.value}-${which.value}` : which.value); changed(); } }, "Mark")),
    el("details", {}, el("summary", {}, "or point at it on the body"), map, near), problem);
  map.pick = hint.label?.includes("tingle") ? "tingling" : "pain";
  map.drawing = drawing;
  paint();
  return { node, get: () => (chosen.size ? [...chosen] : undefined), ...problems(problem) };
}

function target({ label, value, form }) {
  const all = form.options.lists.targets, says = el("span", { class: "help", "aria-live": "polite" });
  const field = select(label, [{ value: "", label: "not said" }, ...all.map((one) => ({ value: one.id, label: one.id }))], { value: value ?? "" });
  const tell = () => { const one = all.find((each) => each.id === field.value); fill(says, one && [`Published levels of the cathode: ${one.levels}${one.where ? `, ${one.where}` : ""}`, mark({ ...one, name: one.id })]); };
  field.input.addEventListener("change", tell);
  field.append(says);
  tell();
  return { node: field, get: () => field.value || undefined, wrong: (_, words) => { field.wrong(words); return true; }, clear: () => field.wrong(""), check: () => true };
}

/** Drugs on clotting and the dates of each, from rows that somebody signed. Gives `drugs` and `hold`. */
function clotting({ label, value, form }) {
  const lines = el("div", { class: "holds" }), where = el("div", {}), inputs = new Map();
  const list = ticks(label, form.options.lists.drugs, value.drugs, { asked: true, none: "takes none", help: "A list that was asked for and is empty says so; a list that was not asked for is missing." });
  const when = text("The procedure begins", { type: "datetime-local" });
  const hold = { ...value.hold };
  const drugs = () => list.get() ?? [];
  const paint = () => {
    fill(lines, drugs().map((drug) => {
      const field = text(`${drug}: last dose and restart`, { value: hold[drug] ?? "", oninput: () => { hold[drug] = field.value; }, help: "" });
      inputs.set(drug, field);
      return field;
    }));
    dates.hidden = !drugs().length;
  };
  const dates = el("div", { class: "card-inside" }, el("p", { class: "help" }, "Dates come only from rows of the clinic's table that a clinician filled in and signed (below, under Drugs on clotting). Nothing of it comes with the software."),
    el("div", { class: "row" }, when, button("Work out the dates", async () => {
      if (!when.value) { when.wrong("when does the procedure begin?"); return; }
      when.wrong("");
      const told = await post("/anticoagulants/plan", { drugs: drugs(), procedure: when.value });
      for (const line of told.items) {
        const field = inputs.get(line.drug);
        if (line.state === "planned") { hold[line.drug] = field.value = [line.last_dose && `last dose ${line.last_dose.replace("T", " ").slice(0, 16)}`, line.restart && `restart not before ${line.restart.replace("T", " ").slice(0, 16)}`, line.tests, ...line.warnings].filter(Boolean).join("; "); field.wrong(""); }
        else field.wrong(`locked: ${line.to_do || line.state}`);
      }
      node.dispatchEvent(new Event("change", { bubbles: true }));
    }, { where })), lines, where);
  const node = el("div", { class: "wide" }, list.node, dates);
  list.node.addEventListener("change", paint);
  paint();
  return { node, merge: ["drugs", "hold"], get: () => { const taken = list.get(); if (taken === undefined) return undefined; const kept = Object.fromEntries(taken.filter((drug) => hold[drug]?.trim()).map((drug) => [drug, hold[drug].trim()])); return Object.keys(kept).length ? { drugs: taken, hold: kept } : { drugs: taken }; },
    wrong: (path, words) => { const field = inputs.get(path.at(-1)); if (field) field.wrong(words); else list.wrong(path, words); return true; }, clear: () => list.clear(), check: () => true };
}

/** Ticks of the bundle against infection: a name and a day for what was done, a reason for what was not. */
function measures({ value, form }) {
  const known = value ?? {}, first = Object.values(known).find((one) => one.by);
  const by = text("Ticked by", { value: first?.by ?? form.options.me.person.name }), on = text("Done on", { type: "date", value: first?.on ?? today() });
  const rows = form.options.lists.measures.map((one) => {
    const state = choice(one.name, ["done", "not done", "not applicable"], { value: known[one.id]?.state, help: one.note });
    const note = text("Reason", { value: known[one.id]?.note ?? "" });
    const problem = shown();
    const toggle = () => { note.hidden = !state.value || state.value === "done"; };
    state.addEventListener("change", toggle);
    toggle();
    return { one, state, note, problem, node: el("div", { class: "measure" }, el("span", { class: "tag" }, one.phase), state, mark({ ...one, name: one.id }), note, problem) };
  });
  const all = el("button", { type: "button", onclick: () => { for (const row of rows) if (!row.state.value) row.state.value = "done"; node.dispatchEvent(new Event("change", { bubbles: true })); } }, "Everything else was done");
  const node = el("fieldset", { class: "group wide" }, el("legend", {}, "Measures"), el("p", { class: "help" }, "What is not answered stays open."), el("div", { class: "row" }, by, on, all), rows.map((row) => row.node));
  return { node, get: () => { const found = {}; for (const { one, state, note } of rows) if (state.value) found[one.id] = state.value === "done" ? { state: "done", by: by.value.trim(), on: on.value || null, ...(note.value.trim() ? { note: note.value.trim() } : {}) } : { state: state.value, note: note.value.trim() }; return Object.keys(found).length ? found : undefined; },
    wrong: (path, words) => { const row = rows.find(({ one }) => one.id === path[0]); if (row) { if (path[1] === "note") row.note.wrong(words); else if (path[1] === "by") by.wrong(words); else fill(row.problem, words); } else fill(rows[0].problem, words); return true; },
    clear: () => { by.wrong(""); for (const row of rows) { fill(row.problem); row.note.wrong(""); } }, check: () => true };
}

/** A program: of the workbench, of a file, or a plain one typed in. */
function program({ value, form }) {
  const draft = form.options.draft, mine = draft?.case?.programs ?? [], problem = shown(), body = el("div", { class: "form-grid" }), kinds = form.options.waveforms;
  let file = value ?? null;
  const sources = [{ value: "typed", label: "typed in" }, ...(mine.length ? [{ value: "draft", label: "of the workbench" }] : []), { value: "file", label: "from a file" }, ...(value ? [{ value: "kept", label: "as it was" }] : [])];
  const source = choice("Program", sources, { value: value ? "kept" : "typed" });
  const one = value?.programs?.[0];
  const wave = select("Type of stimulation", kinds.map((each) => ({ value: each.kind, label: pretty(each.kind), title: each.what })), { value: one?.waveform?.kind ?? "tonic" });
  const frequency = number("Frequency", { unit: "Hz", help: "empty: as usual for the type" }), width = number("Pulse width", { unit: "µs", help: "empty: as usual for the type" });
  const cathodes = text("Cathodes", { help: "numbers of contacts, such as 3 or 3, 4" }), anodes = text("Anodes", { help: "numbers of contacts, or case" }), current = number("Amplitude", { unit: "mA", min: 0 });
  const pick = select("Program of the workbench", mine.map((each, k) => ({ value: String(k), label: each.name })));
  const choose = el("input", { type: "file", accept: ".json,application/json", id: fresh("file"), onchange: async () => {
    fill(problem);
    try { const found = JSON.parse(await choose.files[0].text()); if (found.format !== "epidura-program/1") throw new Error("this is no program file of Epidura"); file = found; tell(); } catch (failure) { fill(problem, `${choose.files[0]?.name ?? "the file"}: ${failure.message}`); }
  } });
  const says = el("p", { class: "help wide" });
  const split = (words) => words.split(/[\s,;+]+/).filter(Boolean);
  const typed = () => {
    const minus = split(cathodes.value), plus = split(anodes.value), contacts = {};
    for (const name of minus) contacts[name] = -1 / minus.length;
    for (const name of plus) contacts[name] = 1 / plus.length;
    const waveform = { kind: wave.value };
    const has = kinds.find((each) => each.kind === wave.value)?.schema.properties ?? {};
    if (has.frequency && frequency.number !== null) waveform.frequency = `${frequency.number} Hz`;
    if (has.pulse_width && width.number !== null) waveform.pulse_width = `${width.number} us`;
    return { format: "epidura-program/1", title: "typed in at the bedside", programs: [{ name: "program", waveform, contacts, ...(current.number === null ? {} : { amplitude: `${current.number} mA` }) }] };
  };
  const picked = () => { const { leads, generator } = draft.case; return { format: "epidura-program/1", title: draft.case.title || "of the workbench", ...(leads ? { leads } : {}), ...(generator ? { generator } : {}), programs: [mine[Number(pick.value)]] }; };
  const tell = () => fill(says, file ? `${file.title}: ${(file.programs ?? []).map((each) => each.name).join(", ")}` : "no file was chosen yet");
  const paint = () => {
    if (source.value === "typed") fill(body, wave, frequency, width, cathodes, anodes, current);
    else if (source.value === "draft") fill(body, pick, draft.patient === form.options.view.id ? null : el("p", { class: "help wide" }, "The case in the workbench is not marked as this patient's: is it the right one?"));
    else if (source.value === "file") { fill(body, el("div", { class: "field" }, el("label", { for: choose.id }, "Program file"), choose), says); tell(); }
    else { fill(body, says); tell(); }
  };
  const note = (event) => { if (event.target.name && source.contains(event.target)) paint(); };
  const node = el("fieldset", { class: "group wide" }, el("legend", {}, "What is set"), source, body, problem);
  node.addEventListener("change", note);
  paint();
  const kept = () => (source.value === "typed" ? (cathodes.value.trim() || anodes.value.trim() ? typed() : undefined) : source.value === "draft" ? picked() : file ?? undefined);
  return { node, get: kept, clear: () => { fill(problem); for (const each of [cathodes, anodes, frequency, width, current]) each.wrong(""); },
    wrong: (path, words) => {
      const last = path.join(".");
      const field = source.value !== "typed" ? null : last.includes("contacts") ? cathodes : last.includes("amplitude") ? current : last.includes("frequency") ? frequency : last.includes("pulse_width") ? width : null;
      if (field) field.wrong(words); else fill(problem, [last, words].filter(Boolean).join(": "));
      return true;
    },
    check: () => { if (kept()) return true; if (source.value === "typed") { (cathodes.value.trim() ? anodes : cathodes).wrong("this is needed"); } else fill(problem, "choose a program"); return false; } };
}

/** A questionnaire: its own questions where their text may be shown, else their keys. Gives `instrument` and `answers`. */
function instrument({ value, form }) {
  const body = el("div", { class: "form-grid questions" }), where = el("div", {}), says = el("p", { class: "help" });
  let parts = [], started = value.instrument ? value.answers ?? {} : {};
  const which = select("Questionnaire", [{ value: "", label: "choose …" }, ...form.options.lists.instruments.map((one) => ({ value: one.id, label: one.name }))], { value: value.instrument?.kind ?? "", required: true });
  const load = async () => {
    parts = [];
    fill(body); fill(says); fill(where);
    if (!which.value) return;
    try {
      const schema = await get(`/instruments/${which.value}/form?language=${encodeURIComponent(form.options.view.state.language?.slice(0, 5) || "en")}`);
      fill(says, schema.description || "", schema["x-text"] === "keys" || schema["x-text"] === "none" ? " The text of the questions is not here: the site needs a licence; answers go by number." : "");
      parts = (schema["x-order"] ?? Object.keys(schema.properties)).map((key) => question(key, schema.properties[key], started[key]));
      fill(body, parts.map((part) => part.node));
    } catch (failure) { complain(where, failure); }
  };
  which.input.addEventListener("change", () => { started = {}; load(); });
  const ready = load();
  const node = el("fieldset", { class: "group wide" }, el("legend", {}, "Answers"), which, says, body, where);
  return { node, ready, merge: ["instrument", "answers"], get: () => (which.value ? { instrument: value.instrument?.kind === which.value ? value.instrument : { kind: which.value }, answers: Object.fromEntries(parts.map((part) => [part.key, part.get()]).filter(([, one]) => one !== undefined)) } : undefined),
    wrong: (path, words) => { const part = parts.find((one) => one.key === path.at(-1)); if (part) part.wrong([], words); else which.wrong(words); return true; },
    clear: () => { which.wrong(""); parts.forEach((part) => part.clear()); }, check: () => { if (which.value) return true; which.wrong("this is needed"); return false; } };
}

function question(key, schema, value) {
  const title = /^\d+$/.test(schema.title ?? key) ? `Question ${schema.title ?? key}` : schema.title ?? pretty(key);
  if (schema.oneOf) {
    const options = schema.oneOf.filter((one) => one.type !== "null").map((one) => ({ value: String(one.const), label: one.title || String(one.const) }));
    const field = options.every((one) => one.label.length < 4) ? choice(title, options, { value: value === undefined || value === null ? null : String(value) }) : null;
    if (field) { const part = radio(field); const inner = part.get; return { ...part, key, get: () => (inner() === undefined ? undefined : Number(inner())) }; }
    const list = select(title, [{ value: "", label: "not answered" }, ...options], { value: value === undefined || value === null ? "" : String(value), wide: true });
    return { key, node: list, get: () => (list.value === "" ? undefined : Number(list.value)), wrong: (_, words) => { list.wrong(words); return true; }, clear: () => list.wrong("") };
  }
  const ends = schema["x-ends"] ?? {}, said = Object.entries(ends).filter(([, words]) => words).map(([at, words]) => `${at}: ${words}`).join("; ");
  const field = number(title, { value: value ?? "", min: schema.minimum, max: schema.maximum, unit: `${schema.minimum} to ${schema.maximum}`, help: said });
  return { key, node: field, get: () => field.number ?? undefined, wrong: (_, words) => { field.wrong(words); return true; }, clear: () => field.wrong("") };
}

/** Hard criteria of the checklist that are not met or not answered. */
function despite({ label, value, form }) {
  const open = (form.options.view.checklist?.items ?? []).filter((one) => one.weight === "hard" && (one.state === "not met" || one.state === "missing"));
  const names = new Set([...open.map((one) => one.id), ...(value ?? [])]);
  if (!names.size) return { node: el("p", { class: "help wide" }, "No hard criterion stands against it."), get: () => undefined, ...problems(shown()) };
  return ticks(label, [...names].map((id) => ({ id, name: open.find((one) => one.id === id)?.why ?? pretty(id) })), value, { help: "Tick only what the team decided to set aside, and say why below." });
}

const nothing = () => ({ node: el("span", { hidden: true }), get: () => undefined, wrong: () => true, clear: () => {}, check: () => true });

export const WIDGETS = { areas, target, clotting, measures, program, instrument, despite, nothing };
