// The clinician programmer. The server says from which amplitude each fibre fires and each dermatome is felt; the slider compares and repaints.

import { Latest, Offline, Refused, get, net, post, work } from "../lib/api.js";
import { el, fill, num, perFrame, quiet } from "../lib/dom.js";
import { button, complain, select, text } from "../lib/fields.js";
import { mark } from "../lib/marks.js";
import "../parts/body-map.js";
import { comparison } from "./program-compare.js";
import { electrodes } from "./program-figures.js";
import { files } from "./program-files.js";
import { gate } from "./program-gate.js";
import { leads } from "./program-leads.js";
import { slice } from "./program-slice.js";
import { kind } from "./program-type.js";

if (!document.querySelector('link[href="/web/rooms/program.css"]')) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = "/web/rooms/program.css";
  document.head.append(style);
}

let lists = null;

/** What changes no more while the page is open: types of stimulation, generators, the figure. */
const known = async () => lists ??= await Promise.all([get("/program/types"), get("/program/generators"), get("/bodymap")])
  .then(([types, generators, drawing]) => ({ types: types.items, generators: generators.items, drawing }));

/** "1.90", not "1.9": digits of an amplitude do not jump while it is turned. */
const steady = (level) => (level === null || level === undefined ? "–" : level.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }));

export default async function program(main, bench) {
  const { draft } = bench, { types, generators, drawing } = await known();
  const state = { index: 0, train: 0, answer: null, fibres: null, key: "", levels: [], dragging: false, moves: 0, entering: "" };
  const asking = new Latest(), shown = new Latest();

  // the draft, seen from this room
  const one = () => draft.case.programs[state.index];
  const trainOf = (at, k = state.train) => (k === 0 ? at : at.interleaved[k - 1]);
  const trains = () => [one(), ...(one().interleaved ?? [])];
  const room = {
    bench, draft, state, types, generators, drawing, one, trains, train: () => trainOf(one()),
    /** Changes the program that is open. */
    change: (fn, why) => draft.change((copy) => { const own = copy.programs[state.index]; fn(trainOf(own), own, copy); }, why),
    /** The same, after the server has read the whole case; what it refuses is not taken, and said in `where`. Gives whether it was taken. */
    attempt: async (fn, why, where) => {
      const at = state.index, k = state.train, before = draft.case, copy = structuredClone(before);
      const again = (now) => { const own = now.programs[at]; if (own) fn(trainOf(own, k), own, now); };
      again(copy);
      try {
        const told = await post("/case/check", { case: copy });
        fill(where);
        // what was changed while the server read stays changed
        draft.change(draft.case === before ? (now) => { Object.assign(now, told.case); for (const name of Object.keys(now)) if (!(name in told.case)) delete now[name]; } : again, why);
        return true;
      } catch (failure) {
        if (failure instanceof Offline) { draft.change(again, why); return true; }
        complain(where, failure);
        return false;
      }
    },
    /** Another train of this program. */
    turn: (k) => { state.entering = ""; state.train = k; draw(); marks(); paint(); },
    open: (index) => { state.entering = ""; state.index = index; state.train = 0; state.answer = null; draw(); recompute(); },
  };

  // what stands still: cards
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "programs" });
  const hands = el("div", { class: "tools" }), tools = el("div", { class: "tools" });
  const status = el("div", { class: "state", role: "status" });
  const problem = el("div", {});
  const name = text("Name of the program", { maxlength: 120, onchange: async () => { if (!await room.attempt((train, own) => { own.name = name.value.trim() || own.name; }, "name", problem)) name.value = one().name; } });

  const big = el("span", { class: "big" }), about = el("span", {}), inside = el("span", { class: "help" });
  const range = el("input", { type: "range", min: 0, max: 10, step: 0.01, "aria-label": "amplitude", oninput: () => slide(range.valueAsNumber), onchange: () => settle() });
  // the slider itself stays where it is when its marks change: a hand or a key that is on it must not lose it
  const pins = el("div", {}), ends = el("div", { class: "ends" }), track = el("div", { class: "track" }, pins, range, ends);
  const exactly = el("input", { type: "number", min: 0, step: 0.05, "aria-label": "amplitude in mA", style: { width: "6.5rem" }, onchange: () => entered(),
    onblur: () => { if (state.entering) { state.entering = ""; ways(); } } }), unit = el("span", { class: "unit" }, "mA");
  const way = select("Set as", [{ value: "current", label: "a current, mA" }, { value: "voltage", label: "a voltage, V" }, { value: "share", label: "a share of perception" }, { value: "usual", label: "usual for this type" }], { onchange: () => settle(way.value) });
  const held = el("p", { class: "help", hidden: true }, "One source holds this voltage between all cathodes and all anodes. The tissue decides how much current flows and how contacts of one sign share it; their percentages do not count.");
  const map = document.createElement("body-map");
  map.drawing = drawing;
  const coverage = el("div", { class: "coverage" });
  const trainTabs = el("div", { class: "tabs", role: "tablist", "aria-label": "trains of this program" });

  const parts = { leads: leads(room), kind: kind(room), slice: slice(room), electrodes: electrodes(room), gate: gate(room), compare: comparison(room), files: files(room) };
  const middle = el("section", { class: "card", "aria-labelledby": "amplitude" },
    el("div", { class: "spread" }, el("h2", { id: "amplitude" }, "Amplitude and coverage"), trainTabs), status,
    el("div", { class: "amount" }, big, about), track, el("div", { class: "row" }, way, el("div", { class: "field" }, el("span", { class: "control" }, exactly, unit)), inside), held,
    coverage, map);
  fill(main, el("h1", { class: "sr" }, "Program"), el("div", { class: "spread" }, el("div", { class: "row" }, tabs, hands), tools), problem,
    el("div", { class: "board" },
      el("div", {}, el("section", { class: "card", "aria-label": "program" }, name, parts.files.node), parts.leads.node, parts.kind.node),
      el("div", { class: "second" }, middle, parts.gate.node),
      el("div", { class: "third" }, parts.slice.node, parts.electrodes.node)),
    el("div", { style: { "margin-top": "var(--gap)" } }, parts.compare.node));

  const undo = button("Undo", () => draft.undo()), redo = button("Redo", () => draft.redo());
  fill(tools, undo, redo);

  /** What follows the draft: tabs, forms, leads. */
  function draw() {
    const programs = draft.case.programs;
    state.index = Math.min(state.index, programs.length - 1);
    state.train = Math.min(state.train, trains().length - 1);
    const tab = (label, on, go) => el("button", { type: "button", role: "tab", "aria-selected": String(on), tabindex: on ? 0 : -1, onclick: go, onkeydown: turn }, label);
    const focus = tabs.contains(document.activeElement) && document.activeElement.getAttribute("role") === "tab";
    fill(tabs, programs.map((each, i) => tab(each.name, i === state.index, () => room.open(i))));
    fill(hands, button("Add", () => add({ name: free("program"), waveform: { kind: "tonic" }, contacts: { ...one().contacts } })), button("Duplicate", () => add({ ...structuredClone(one()), name: free(one().name) })),
      programs.length > 1 && button("Delete", () => { const at = state.index; state.index = Math.max(0, at - 1); draft.change((copy) => { copy.programs.splice(at, 1); }, `delete ${programs[at].name}`); }, { kind: "danger" }));
    if (focus) tabs.querySelector('[aria-selected="true"]').focus();
    undo.disabled = !draft.undoable;
    redo.disabled = !draft.redoable;
    undo.title = draft.undoable ? `undo: ${draft.undoable}` : "nothing to undo";
    redo.title = draft.redoable ? `redo: ${draft.redoable}` : "nothing to redo";
    if (document.activeElement !== name.input) name.value = one().name;
    trainTabs.hidden = trains().length < 2;
    fill(trainTabs, trains().length > 1 && trains().map((each, k) => tab(`train ${k + 1}`, k === state.train, () => room.turn(k))));
    map.pain = draft.case.patient?.pain.areas;
    ways();
    parts.leads.draw();
    parts.kind.draw();
    parts.files.draw();
    parts.gate.draw();
    parts.compare.draw();
  }

  function turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...event.target.parentNode.querySelectorAll('[role="tab"]')];
    all[(all.indexOf(event.target) + step + all.length) % all.length].click();
    event.preventDefault();
  }

  const free = (like) => { const taken = new Set(draft.case.programs.map((each) => each.name)); let at = 2, stem = like.replace(/ \d+$/, ""); while (taken.has(`${stem} ${at}`)) at++; return taken.has(stem) ? `${stem} ${at}` : stem; };
  async function add(made) {
    const at = draft.case.programs.length;
    if (await room.attempt((train, own, copy) => { copy.programs.push(made); }, `add ${made.name}`, problem)) room.open(at);
  }

  // thresholds: an estimate at once, then the exact ones
  async function recompute() {
    const asked = { case: draft.case, program: state.index }, moves = state.moves;
    await asking.run(async (signal) => {
      try {
        fill(problem);
        const first = await post("/program/recruit", { ...asked, have: state.key }, { signal });
        if (signal.aborted) return;
        if (first.ready) take(first, moves);
        if (first.ready && first.quality === "exact") { say(); return; }
        const bar = el("progress", { max: 1 }), words = el("span", {}, first.ready ? "exact thresholds" : "electric field");
        say(first.ready ? el("span", { class: "tag warn" }, "preview") : null, words, bar, button("Cancel", () => { asking.stop(); say(el("span", { class: "tag warn" }, first.ready ? "preview" : "not computed"), button("Compute", recompute)); }));
        const found = await work("/program/recruit/exact", { ...asked, have: state.key }, { signal, progress: (said, share) => { fill(words, said); if (share > 0) bar.value = share; else bar.removeAttribute("value"); } });
        if (signal.aborted) return;
        take(found, moves);
        say();
      } catch (failure) {
        if (signal.aborted || failure.name === "AbortError") return;
        say(el("span", { class: "tag bad" }, "not computed"), failure instanceof Offline ? "the server is away; it goes on when it is back" : null, button("Try again", recompute));
        if (failure instanceof Refused) complain(problem, failure);
        else if (failure instanceof Offline) net.addEventListener("online", () => { if (!asking.gone) recompute(); }, { once: true });
        else throw failure;
      }
    });
  }

  function say(...what) {
    fill(status, what.length ? what : [el("span", { class: "tag good" }, "exact"), mark(state.answer?.evidence)]);
    main.dataset.quality = what.length ? state.answer?.quality === "preview" ? "preview" : "waiting" : "exact";
  }

  function take(answer, moves) {
    if (answer.fibres) { state.fibres = answer.fibres; state.key = answer.key; parts.slice.around(); }
    state.answer = answer;
    // a hand that moved the slider since the question was asked knows better than its answer
    if (!state.dragging && moves === state.moves) state.levels = answer.trains.map((each) => each.amplitude_mA);
    state.train = Math.min(state.train, answer.trains.length - 1);
    marks();
    paint();
    fill(inside, answer.warnings.length ? el("ul", {}, answer.warnings.map((line) => el("li", {}, line))) : null);
    figures();
    parts.gate.draw();
  }

  /** The slider with its marks. */
  function marks() {
    const own = state.answer?.trains[state.train], level = state.levels[state.train] ?? 0;
    if (!own) return;
    const top = Math.max(own.top_mA, level), step = top > 2 ? 0.05 : 0.01;
    range.max = (Math.ceil(top / step) * step).toFixed(2);
    range.step = 0.01;
    range.value = level;
    const at = (value) => `calc(9px + (100% - 18px) * ${(value / Number(range.max)).toFixed(4)})`;
    const near = own.perception_mA !== null && own.discomfort_mA !== null && Math.abs(own.discomfort_mA - own.perception_mA) / Number(range.max) < 0.34;
    const said = (value) => (volts() ? num((value * own.held_ohm) / 1e3, "V") : num(value, "mA"));
    const marker = (value, words, side, more = "") => value !== null && value <= Number(range.max) * 1.0001 && el("div", { class: `marker ${more} ${near ? side : ""}`, style: { left: at(value) } }, el("span", {}, words), el("br"), said(value));
    ways();
    fill(pins, marker(own.perception_mA, "perception", (own.discomfort_mA ?? 1e9) >= (own.perception_mA ?? 0) ? "left" : "right"), marker(own.discomfort_mA, "discomfort", (own.discomfort_mA ?? 0) >= (own.perception_mA ?? 1e9) ? "right" : "left", "discomfort"));
    fill(ends, el("span", {}, volts() ? "0 V" : "0 mA"), el("span", {}, volts() ? said(Number(range.max)) : `${range.max} mA`));
  }

  // the field, its unit and what is written say the same; the slider itself counts in mA
  const volts = () => unit.textContent === "V";
  const fine = (value) => value.toFixed(3).replace(/0$/, "");
  const answered = () => state.answer?.trains[state.train];
  const field = (level) => (volts() ? fine((level * answered().held_ohm) / 1e3) : level.toFixed(2));

  /** How the amplitude is set, as the draft has it; what a person has just chosen and gives no number for yet stays. */
  function ways() {
    const written = String(room.train().amplitude ?? "auto");
    way.value = state.entering || (written === "auto" ? "usual" : written.includes("perception") ? "share" : written.endsWith("V") ? "voltage" : "current");
    const before = volts(), level = state.levels[state.train] ?? null;
    fill(unit, way.value === "voltage" ? "V" : "mA");
    exactly.setAttribute("aria-label", `amplitude in ${unit.textContent}`);
    held.hidden = !volts();
    if (before !== volts() && answered()) { marks(); paint(); if (level !== null && !state.entering) exactly.value = field(level); }
    const given = /^([\d.e+-]+) ([mu]?)([AV])$/.exec(written);
    if (!answered() && !state.entering) exactly.value = given ? Number((given[1] * { m: 1e-3, u: 1e-6, "": 1 }[given[2]] * (given[3] === "A" ? 1e3 : 1)).toPrecision(6)) : "";
  }

  function entered() {
    const value = Number(exactly.valueAsNumber.toFixed(3)), level = state.levels[state.train] ?? null;
    if (!(value > 0)) {
      bench.say(`An amplitude is above 0 ${volts() ? "V" : "mA"}; polarity comes from the signs of the contacts.`, "warn");
      exactly.value = answered() && level !== null && !state.entering ? field(level) : "";
    } else if (volts()) {
      if (answered()) slide((value / answered().held_ohm) * 1e3);
      write(`${value} V`);
    } else { slide(value); settle(); }
  }

  function write(words) {
    state.dragging = false;
    state.entering = "";
    if (!words.endsWith("V") || one().sources === "single") { room.change((train) => { train.amplitude = words; }, "amplitude"); return; }
    room.attempt((train, own) => { train.amplitude = words; own.sources = "single"; }, "a voltage, from one source", problem).then((taken) => {
      if (taken) return;
      state.levels = state.answer?.trains.map((each) => each.amplitude_mA) ?? [];
      marks();
      paint();
    });
  }

  function slide(level) {
    state.dragging = true;
    state.moves++;
    state.levels[state.train] = level;
    soon();
  }
  const soon = perFrame(() => { paint(); figures(); });

  /** The amplitude goes into the draft when the hand lets go. */
  function settle(asked = "") {
    const how = asked || (way.value === "usual" ? "current" : way.value);
    state.dragging = false;
    const level = state.levels[state.train], own = state.answer?.trains[state.train];
    const share = own?.perception_mA ? Math.max(1, Math.round((100 * level) / own.perception_mA)) : null;
    const size = Number(how === "voltage" ? ((level * own?.held_ohm) / 1e3).toFixed(3) : level?.toFixed(3));
    const words = how === "usual" ? "auto" : how === "share" ? share !== null && `${share} % of perception` : size > 0 && `${size} ${how === "voltage" ? "V" : "mA"}`;
    if (words) { write(words); return; }
    if (!asked) return; // a slider at 0 is no amplitude
    state.entering = how === "share" ? "" : how;
    ways();
    if (how === "share") { bench.say("No perception threshold is known that the amplitude could be a share of.", "warn"); return; }
    exactly.value = ""; // there is nothing to convert: the next number is the first
    exactly.focus();
  }

  const felt = () => {
    const found = {};
    state.answer.trains.forEach((train, k) => { for (const [key, start] of Object.entries(train.felt_mA)) if (start !== null && state.levels[k] !== null && start <= state.levels[k] * (1 + 1e-9)) found[key] = 1; });
    return found;
  };

  function paint() {
    const own = state.answer?.trains[state.train], level = state.levels[state.train];
    if (!own) return;
    const now = felt();
    fill(big, level === null ? "not known" : volts() ? `${field(level)}\u00a0V` : `${steady(level)}\u00a0mA`);
    if (level !== null) { if (document.activeElement !== exactly) exactly.value = field(level); if (document.activeElement !== range || !state.dragging) range.value = level; }
    range.setAttribute("aria-valuetext", level === null ? "not known" : `${volts() ? `${field(level)} volt` : `${steady(level)} milliampere`}, ${where(own, level)}`);
    fill(about, where(own, level), own.perception_mA && level !== null ? ` · ${Math.round((100 * level) / own.perception_mA)} % of perception` : "", volts() && level !== null ? ` · ${steady(level)} mA as a pulse begins (${num(own.held_ohm, "Ω", 1, 3)})` : "");
    map.felt = now;
    const pain = (state.pain ?? []).map(([dermatome, side]) => `${dermatome} ${side}`), hit = pain.filter((key) => now[key]), spill = Object.keys(now).filter((key) => !pain.includes(key));
    const range_ = own.perception_mA !== null && own.discomfort_mA !== null ? own.discomfort_mA / own.perception_mA : null;
    fill(coverage, pain.length ? el("span", {}, el("strong", {}, `${Math.round((100 * hit.length) / pain.length)} %`), ` of the dermatomes of the pain felt (${hit.length} of ${pain.length})`) : el("span", {}, "No pain is drawn in Plan, so there is nothing to cover."),
      el("span", {}, el("strong", {}, spill.length), " felt elsewhere"), range_ !== null && el("span", {}, "usage range ", el("strong", {}, `${num(range_, "", 1, 3)} ×`), " perception"));
    parts.slice.paint(state.answer, state.levels);
  }

  function where(own, level) {
    if (own.perception_mA === null) return "nothing is felt at any amplitude that was tried";
    if (level === null) return "";
    return level < own.perception_mA ? "below perception" : own.discomfort_mA !== null && level >= own.discomfort_mA ? "uncomfortable" : "felt, comfortable";
  }

  // figures at the electrodes: one request in flight, the latest wins
  const figures = quiet(async () => {
    const asked = { case: draft.case, program: state.index, amplitudes: [...state.levels] };
    if (asked.amplitudes.length !== trains().length || asked.amplitudes.some((level) => level === null || !(level > 0))) { parts.electrodes.draw(null); return; }
    try {
      const told = await shown.run((signal) => post("/program/figures", asked, { signal }));
      if (told?.ready) parts.electrodes.draw(told.figures);
    } catch (failure) { if (!(failure instanceof Offline)) parts.electrodes.wrong(failure); }
  }, 60);

  async function pains() {
    try {
      const told = await post("/case/check", { case: draft.case });
      state.pain = told.pain.map((each) => [each.dermatome, each.side]);
      paint();
    } catch (failure) { if (!(failure instanceof Offline || failure instanceof Refused)) throw failure; }
  }

  let patient = "";
  const changed = () => {
    draw();
    if (JSON.stringify(draft.case.patient) !== patient) { patient = JSON.stringify(draft.case.patient); pains(); }
    recompute();
  };
  const keys = (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input:not([type=range]), textarea")) return;
    event.preventDefault();
    if (event.shiftKey) draft.redo(); else draft.undo();
  };
  draft.addEventListener("change", changed);
  document.addEventListener("keydown", keys);
  const recolour = () => state.answer && parts.slice.paint(state.answer, state.levels);
  document.addEventListener("epidura-theme", recolour);
  const wide = new ResizeObserver(recolour);
  wide.observe(main);
  changed();
  return () => {
    draft.removeEventListener("change", changed);
    document.removeEventListener("keydown", keys);
    document.removeEventListener("epidura-theme", recolour);
    wide.disconnect();
    asking.gone = true;
    asking.stop();
    shown.stop();
    for (const part of Object.values(parts)) part.stop?.();
  };
}
