// Plan: who hurts where, which level and leads, the canal around them, and the field in it.

import { Offline, floats, get, net, post, work } from "../lib/api.js";
import { el, fill, num, quiet } from "../lib/dom.js";
import { button, check, choice, complain, field, number, select, text } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mark } from "../lib/marks.js";
import { canal } from "./plan-anatomy.js";
import { leadForms } from "./plan-leads.js";
import { pain } from "./plan-pain.js";
import { mm, position, pump, set } from "./plan-parts.js";
import { Behind, Space, key, unpack, where } from "./plan-space.js";
import { Slice } from "./plan-slices.js";

const ACCURACY = { fast: "quick look (coarse mesh)", standard: "standard", reference: "fine" };

function styles() {
  if (document.querySelector('link[href="/web/rooms/plan.css"]')) return null;
  const link = el("link", { rel: "stylesheet", href: "/web/rooms/plan.css" });
  document.head.append(link);
  return new Promise((done) => { link.addEventListener("load", done); link.addEventListener("error", done); });
}

export default async function plan(main, bench) {
  const { draft } = bench;
  const [start, drawing] = await Promise.all([get("/plan/start"), get("/bodymap"), styles()]);
  const off = new AbortController(), on = (target, name, fn) => target.addEventListener(name, fn, { signal: off.signal });
  const wrongs = new Map(); // path in the case -> its field
  const problem = el("div", { "aria-live": "polite" }), fileSays = el("div", { "aria-live": "polite" }), trouble = el("div", {});
  let scene = null, fieldAt = null, computing = null, moving = null, wrongAt = "";

  // ---------------------------------------------------------------- the bar

  const title = text("Title of this case", { maxlength: 200, onchange: () => draft.change((copy) => { copy.title = title.value.trim() || copy.title; }, "title") });
  title.classList.add("title");
  const file = el("input", { type: "file", accept: ".yaml,.yml,text/yaml", class: "sr", tabindex: -1, "aria-label": "case file to open", onchange: async () => {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    try { draft.open((await post("/case/read", { text: (await chosen.text()).slice(0, 200_000) })).case); fill(fileSays); bench.say(`Opened ${chosen.name}.`, "good"); } catch (failure) { complain(fileSays, failure); }
  } });
  const example = select("Start from an example", [{ value: "", label: "choose …" }, ...start.examples.map((one) => ({ value: one.name, label: one.title }))], { onchange: async () => {
    const name = example.value;
    example.value = "";
    if (!name) return;
    try { draft.open((await get(`/plan/examples/${name}`)).case); bench.say(start.examples.find((one) => one.name === name).about, "", 8); } catch (failure) { complain(fileSays, failure); }
  } });
  const undo = button("Undo", () => draft.undo(), { title: "Ctrl+Z" }), redo = button("Redo", () => draft.redo(), { title: "Ctrl+Shift+Z" });
  const bar = el("div", { class: "plan-bar noprint" }, el("h1", {}, "Plan"), title, undo, redo, button("Open …", () => file.click(), { title: "a case file, YAML" }), file,
    button("Save", async () => {
      const { text: content } = await post("/case/write", { case: draft.case });
      const url = URL.createObjectURL(new Blob([content], { type: "text/yaml" }));
      const link = el("a", { href: url, download: `${draft.case.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "case"}.yaml` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }, { title: "as a case file, YAML", where: fileSays }), example);
  on(document, "keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches?.("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea")) return;
    event.preventDefault();
    if (event.shiftKey) draft.redo(); else draft.undo();
  });

  const parts = { bench, draft, start, drawing, on, wrongs, fileSays }, sick = pain(parts), shape = canal(parts), leads = leadForms(parts);

  // ---------------------------------------------------------------- views

  const spaceNode = el("div", { class: "space" }), behindNode = el("div", { class: "behind" }), leadSays = el("p", { class: "says", "aria-live": "polite" });
  const space = new Space(spaceNode), behind = new Behind(behindNode, move);
  const what = choice("Show", [{ value: "potential", label: "potential" }, { value: "second", label: "activating function" }], { value: kept("plan.what", "potential"), onchange: (value) => { keep("plan.what", value); tell(); recolour(); } });
  const program = select("Current of", [], { onchange: () => { const one = drives[program.value]; if (one?.mA) milli.value = slider.value = one.mA; shown(); } });
  const slider = el("input", { type: "range", min: 0.1, max: 20, step: 0.1, oninput: () => { milli.value = slider.value; recolour(); } });
  const milli = number("Amplitude", { min: 0, max: 100, step: 0.1, value: 1, unit: "mA", oninput: () => { if (milli.number > 0) { slider.value = milli.number; recolour(); } } });
  slider.value = 1;
  const told = el("p", { class: "help" });
  const axialAt = el("input", { type: "range", step: 0.5, oninput: () => { axialWords(); axialGo(); } }), sagittalAt = el("input", { type: "range", min: -9, max: 9, step: 0.25, value: 0, oninput: () => { sagittalWords(); sagittalGo(); } });
  const axialField = field("Height of the axial slice", axialAt, { help: " " }), sagittalField = field("Sagittal slice, off the midline", sagittalAt, { help: " " });
  const ask = (plane, at) => ({ case: draft.case, accuracy: fieldAt.accuracy, plane, at });
  const axial = new Slice(el("div", { class: "chart" }), "axial", ask), sagittal = new Slice(el("div", { class: "chart" }), "sagittal", ask);
  const slicesBox = el("div", { hidden: true }, el("div", { class: "controls" }, program, milli, field("Amplitude, slider", slider)), el("div", { class: "controls" }, what, axialField, sagittalField), told, el("div", { class: "slices" }, el("div", {}, el("h3", {}, "Across"), axial.node), el("div", {}, el("h3", {}, "Along"), sagittal.node)));
  const noField = el("p", { class: "plan-quiet" }, "The field of this position is not computed yet. Compute it, and slices appear here; surfaces of cord and dura are coloured by the potential of the program.");
  let drives = [];
  const words = (node, content) => fill(node.querySelector(".help"), content);
  const axialWords = () => { const at = Number(axialAt.value), near = scene?.header.vertebrae.find((one) => one.low <= at && at < one.high); words(axialField, `${num(at, "mm")}${near ? `, at ${near.name}` : ""}`); };
  const sagittalWords = () => { const at = Number(sagittalAt.value); words(sagittalField, at ? `${num(Math.abs(at), "mm")} ${at > 0 ? "right" : "left"}` : "midline"); };
  const slicePump = (slice, input) => pump(() => slice.at(Number(input.value)), () => {}, (failure) => { if (!(failure instanceof Offline)) complain(problem, failure); });
  const axialGo = slicePump(axial, axialAt), sagittalGo = slicePump(sagittal, sagittalAt);
  const weights = () => (drives[program.value]?.drive ?? []).map((share) => share * (milli.number ?? 0));
  const label = () => `${drives[program.value]?.name ?? "no program"} at ${num(milli.number ?? 0, "mA")}`;
  const recolour = () => {
    if (!fieldAt) return;
    space.colour(fieldAt, weights());
    cuts();
  };
  // slices follow once the surfaces are coloured and the hand rests
  const cuts = quiet(() => { if (fieldAt) for (const one of [axial, sagittal]) one.set(weights(), what.value, label()); }, 150);
  /** What depends on which contacts are active. */
  const shown = () => { if (scene) { behind.show(scene, drive()); space.show(scene, drive()); recolour(); } };
  const drive = () => drives[program.value]?.drive ?? [];
  function tell() {
    fill(told, what.value === "potential" ? "Potential against a far return, in the first phase of the pulse, mV."
      : "Second difference of the potential along the spine over 1 mm, in the first phase, mV/mm². Where it is above 0 (orange), fibres along the spine are driven towards firing; below 0 (blue), away from it.");
  }
  tell();
  const toggles = el("div", { class: "toggles", role: "group", "aria-label": "tissues that are shown" }, [["cord", "cord"], ["dura", "dura"], ["bone", "bone and discs"], ["names", "names of vertebrae"]].map(([name, says]) => check(says, { checked: true, onchange: (event) => space.toggle(name, event.target.checked) })));
  const views = el("section", { class: "card", "aria-labelledby": "plan-views" }, el("h2", { id: "plan-views" }, "Canal and leads"), trouble, problem, el("div", { class: "views" },
    el("div", {}, el("h3", {}, "From behind"), el("div", { class: "spread help" }, el("span", {}, "vertebrae"), el("span", {}, "cord segments")), behindNode, leadSays, el("p", { class: "help" }, "Drag a lead. With the keyboard: Tab to it, arrow keys move it 0.5 mm, with Shift 5 mm along the spine.")),
    el("div", {}, el("h3", {}, "In space"), spaceNode, toggles, key(), el("p", { class: "help" }, "Drag to turn it, with Shift to move it; the wheel or two fingers zoom. With the keyboard: Tab to it, arrow keys turn it, + and − zoom, 0 is the first view."))));

  // ---------------------------------------------------------------- the field

  const accuracy = select("Accuracy", Object.entries(ACCURACY).map(([value, label]) => ({ value, label })), { value: kept("plan.accuracy", "standard"), onchange: () => { keep("plan.accuracy", accuracy.value); fieldState(); } });
  const auto = check("compute by itself after each move", { checked: kept("plan.auto", false), onchange: () => { keep("plan.auto", auto.value); if (auto.value) ready(); } });
  const go = button("Compute the field", () => { compute(); }, { kind: "main" });
  const progress = el("progress", { max: 1, value: 0, "aria-label": "progress of the field" }), progressWords = el("span", { class: "words" }), cancel = button("Cancel", () => computing?.abort());
  const running = el("div", { class: "working", hidden: true }, progress, cancel, progressWords), state = el("p", { role: "status" }), fieldWrong = el("div", {});
  const fieldCard = el("section", { class: "card", "aria-labelledby": "plan-field" }, el("h2", { id: "plan-field" }, "Field"), state, accuracy, el("div", { class: "row" }, go, auto), running, fieldWrong);

  function fieldState() {
    const here = fieldAt && fieldAt.key === position(draft.case);
    fill(state, here ? [el("span", { class: "tag good" }, "computed"), ` for this position, ${ACCURACY[fieldAt.accuracy]}.`, fieldAt.accuracy === "fast" ? " A preview: compute it at standard accuracy before it decides anything." : ""] : [el("span", { class: "tag" }, "not computed"), " for this position of the leads."], here && fieldAt.warnings?.length ? el("ul", { class: "said" }, fieldAt.warnings.map((one) => el("li", {}, one))) : null);
    go.hidden = Boolean(here && fieldAt.accuracy === accuracy.value);
    slicesBox.hidden = !here;
    noField.hidden = Boolean(here);
  }
  async function compute() {
    computing?.abort();
    const mine = computing = new AbortController(), asked_ = structuredClone(draft.case), level = accuracy.value;
    running.hidden = false;
    fill(fieldWrong);
    progress.value = 0;
    fill(progressWords, "waiting");
    try {
      const result = await work("/plan/field", { case: asked_, accuracy: level }, { signal: mine.signal, progress: (said_, share) => { progress.value = share; fill(progressWords, `${said_} (${Math.round(100 * share)} %)`); } });
      if (position(asked_) === position(draft.case)) await take(asked_, level, result);
      else if (computing === mine) queueMicrotask(compute); // the leads were moved meanwhile: the field that was asked for is that of where they lie now
    } catch (failure) {
      if (failure.name === "AbortError") { if (computing === mine) bench.say("The field was not computed.", "", 4); } else if (!(failure instanceof Offline)) complain(fieldWrong, failure);
    } finally { if (computing === mine) { computing = null; running.hidden = true; } }
  }
  /** The field at the points that are drawn, once per position. */
  async function take(asked_, level, result = {}) {
    const { header, numbers } = await floats("POST", "/plan/surface", { body: { case: asked_, accuracy: level } });
    const sizes = Object.fromEntries(header.surfaces.map((one) => [one.name, one.points])), n = header.surfaces.reduce((sum, one) => sum + one.points, 0);
    fieldAt = { key: position(asked_), accuracy: level, matrix: numbers, n, sizes, warnings: result.warnings };
    fieldState();
    const [first] = drive().map((share, i) => [share, i]).filter(([share]) => share < 0).map(([, i]) => i), contact = scene.header.leads.flatMap((lead) => lead.contacts)[first ?? 0];
    axialAt.min = Math.ceil(scene.header.low * 2) / 2 + 1;
    axialAt.max = Math.floor(scene.header.high * 2) / 2 - 1;
    axialAt.value = contact ? (contact.z0 + contact.z1) / 2 : 0;
    axialWords();
    sagittalWords();
    Object.assign(axial, { weights: weights(), what: what.value, words: label() });
    Object.assign(sagittal, { weights: weights(), what: what.value, words: label() });
    space.colour(fieldAt, weights());
    await Promise.all([axialGo(), sagittalGo()]);
  }
  function forget() { fieldAt = null; axial.forget(); sagittal.forget(); space.colour(null, null); fieldState(); }
  /** A field that lies ready on the server is taken; otherwise it is computed if that is wished. */
  function ready() {
    if (!scene || (fieldAt && fieldAt.key === position(draft.case))) return;
    const there = ["reference", "standard", "fast"].find((one) => scene.header.ready.includes(one));
    if (there) take(structuredClone(draft.case), there).catch((failure) => { if (!(failure instanceof Offline)) complain(fieldWrong, failure); });
    else if (auto.value && !scene.header.trouble) compute();
  }

  // ---------------------------------------------------------------- the scene

  const sent = (copy, tissues) => floats("POST", "/plan/scene", { body: { case: copy, tissues } }).then(unpack);
  const draw = pump((copy) => sent(copy, true), (found, copy) => {
    clear();
    scene = found;
    const { header } = found, chosen = drives[program.value]?.name;
    drives = [...header.programs, ...header.leads.flatMap((lead) => lead.contacts).map((one) => ({ name: `contact ${one.number} alone, cathode`, drive: Array.from({ length: header.leads.flatMap((lead) => lead.contacts).length }, (_, i) => (i + 1 === one.number ? -1 : 0)), mA: null }))];
    fill(program.input, drives.map((one, i) => el("option", { value: i }, one.name)));
    const again = drives.findIndex((one) => one.name === chosen);
    program.value = again < 0 ? 0 : again;
    if (again < 0 && drives[0]?.mA) milli.value = slider.value = drives[0].mA;
    if (fieldAt && fieldAt.key !== position(copy)) forget();
    behind.show(found, drive());
    fill(leadSays, header.leads.map((lead, i) => `Lead ${i + 1}: ${where(lead)}.`).join(" "));
    fill(trouble, header.trouble ? complain(null_(), { error: { missing: [], ...header.trouble, hint: header.trouble.hint || "the programs are mended in the room Program" } }) : null);
    showSaid(header);
    fieldState();
    space.show(found, drive());
    ready();
  }, refuse);
  const null_ = () => el("div");
  function showSaid(header) {
    const heading = el("p", {}, `Cord segment at ${header.vertebra}: ${header.segment}.`, mark(header.numbers));
    fill(shape.filled, heading, header.warnings.length ? el("details", { open: header.warnings.length < 4 || draft.case.anatomy.kind === "labels" || undefined }, el("summary", {}, `${header.warnings.length} to know`), el("ul", { class: "said" }, header.warnings.map((one) => el("li", {}, one)))) : null);
  }
  function clear() {
    if (wrongAt) wrongs.get(wrongAt)?.wrong("");
    wrongAt = "";
    fill(problem);
  }
  function refuse(failure) {
    if (failure instanceof Offline) { net.addEventListener("online", () => draw(draft.case), { once: true, signal: off.signal }); return; }
    clear();
    if (!failure.error) { complain(problem, failure); return; }
    const { where: path, problem: says, got, allowed, hint } = failure.error, sentence = [says, got !== null && got !== "" && `given: ${got}`, allowed && `allowed: ${allowed}`, hint].filter(Boolean).join("; ");
    wrongAt = wrongs.has(path) ? path : [...wrongs.keys()].filter((one) => path.startsWith(one)).sort((a, b) => b.length - a.length)[0] ?? "";
    if (wrongAt) wrongs.get(wrongAt).wrong(sentence);
    complain(problem, failure);
  }

  // dragging: the last place that was possible is kept
  const preview = pump(({ copy }) => sent(copy, false), (found, { i, copy }) => {
    if (moving?.i !== i) return;
    moving.good = copy;
    behind.bad(i, false);
    fill(leadSays, `Lead ${i + 1}: ${where(found.header.leads[i])}.`);
    space.moved(found, drive());
  }, (failure, { i }) => {
    if (failure instanceof Offline || moving?.i !== i) return;
    behind.bad(i, true);
    fill(leadSays, `Not possible there: ${failure.message}`);
    moving.refused = failure;
  });
  const tried = (i, { across, along }) => {
    const copy = structuredClone(draft.case), lead = copy.leads[i], now = scene.header.leads[i], spans = scene.header.vertebrae, middle = (one) => (one.low + one.high) / 2;
    const from = spans.find((one) => one.name === lead.tip_vertebra), at = (from ? middle(from) + (mm(lead.tip_offset) ?? 0) : now.tip) + along;
    const vertebra = spans.reduce((best, one) => (Math.abs(middle(one) - at) < Math.abs(middle(best) - at) ? one : best));
    const round = (value) => Number(value.toFixed(3));
    lead.tip_vertebra = vertebra.name;
    lead.tip_offset = `${round(at - middle(vertebra))} mm`;
    if (!now.beside) lead.lateral = `${round((mm(lead.lateral) ?? 0) + across)} mm`;
    return copy;
  };
  // steps of the keyboard are taken one after the other, so that none is lost
  let steps = Promise.resolve(), waiting = 0;
  function move(i, by) {
    if (!by.last) { moved(i, by); return; }
    if (waiting > 20) return;
    waiting += 1;
    steps = steps.then(() => moved(i, by)).catch((failure) => complain(problem, failure)).finally(() => { waiting -= 1; });
  }
  async function moved(i, by) {
    if (!scene || !draft.case.leads[i]) return;
    moving = moving?.i === i ? moving : { i, good: null, refused: null };
    const copy = tried(i, by);
    if (!by.last) { preview({ i, copy }); return; }
    const mine = moving;
    moving = null;
    let good = copy;
    try { await sent(copy, false); } catch (failure) {
      if (!(failure instanceof Offline)) { good = mine.good; refuse(failure); }
    }
    if (good) draft.change((now) => { now.leads[i] = good.leads[i]; }, `move lead ${i + 1}`);
    if (!good || good !== copy) {
      behind.back(i);
      behind.bad(i, false);
      const words_ = leadSays.textContent;
      fill(leadSays, `${words_.startsWith("Not possible") ? words_ : "Not possible there."} It stays where it last could be.`);
    }
  }

  // ---------------------------------------------------------------- together

  function show() {
    set(title, draft.case.title);
    undo.disabled = !draft.undoable;
    redo.disabled = !draft.redoable;
    undo.setAttribute("aria-label", draft.undoable ? `Undo: ${draft.undoable}` : "Undo");
    redo.setAttribute("aria-label", draft.redoable ? `Redo: ${draft.redoable}` : "Redo");
    sick.show();
    shape.show();
    leads.show();
  }
  const drawn = () => position(draft.case) + JSON.stringify(draft.case.programs);
  let last = "";
  on(draft, "change", () => {
    shape.changed();
    show();
    if (drawn() !== last) { last = drawn(); draw(draft.case); }
  });
  fill(main, bar, fileSays, el("div", { class: "plan" }, el("div", { class: "stack" }, sick.people, sick.advice), el("div", { class: "stack middle" }, views, el("section", { class: "card", "aria-labelledby": "plan-slices" }, el("h2", { id: "plan-slices" }, "Slices of the field"), noField, slicesBox)), el("div", { class: "stack" }, shape.node, leads.node, fieldCard)));
  show();
  last = drawn();
  draw(draft.case);
  return () => { off.abort(); computing?.abort(); axial.forget(); sagittal.forget(); for (const one of [axial, sagittal]) window.Plotly?.purge(one.node); };
}
