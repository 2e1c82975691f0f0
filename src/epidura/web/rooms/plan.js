// Plan: who hurts where, which level and leads, the canal around them, and the field in it.

import { Offline, floats, get, net, post, work } from "../lib/api.js";
import { el, fill, num, quiet } from "../lib/dom.js";
import { button, check, choice, complain, field, number, select, text } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mark } from "../lib/marks.js";
import "../parts/body-map.js";
import { Behind, Space, key, unpack, where } from "./plan-space.js";
import { Slice, WHAT } from "./plan-slices.js";

const SIDES = ["left", "right"];
const SIZES = { dorsal_csf: "Fluid dorsal of the cord", dorsal_epidural: "Dorsal epidural space", dura: "Dura, thickness", cord_width: "Cord, width", cord_depth: "Cord, depth", canal_depth: "Canal, depth" };
const WORDS = { vertebra: "one cross-section, everywhere", spine: "changes along the spine", supine: "supine", prone: "prone", standing: "standing", straight: "straight", physiological: "bent as when standing",
  "low-dura": "dura conducts poorly", "high-dura": "dura conducts better" };
const ACCURACY = { fast: "quick look (coarse mesh)", standard: "standard", reference: "fine" };

const split = (area) => { const side = SIDES.find((one) => area.startsWith(`${one}-`)); return side ? [[side], area.slice(side.length + 1)] : [SIDES, area]; };
/** "50 um" is 0.05 mm. */
const mm = (written) => { const found = /^\s*(-?[\d.eE+-]+)\s*(um|mm|cm|m)\s*$/.exec(written ?? ""); return found ? Number((Number(found[1]) * { um: 1e-3, mm: 1, cm: 10, m: 1e3 }[found[2]]).toPrecision(9)) : null; };
const deg = (written) => { const found = /^\s*(-?[\d.eE+-]+)\s*(deg|rad)\s*$/.exec(written ?? ""); return found ? Number((Number(found[1]) * (found[2] === "rad" ? 180 / Math.PI : 1)).toPrecision(6)) : null; };
const position = (copy) => JSON.stringify([copy.anatomy, copy.leads]);

/** One request in flight; of those asked for meanwhile the latest is sent next. */
function pump(send, done, fail) {
  let busy = false, next = null;
  return async (what) => {
    if (busy) { next = { what }; return; }
    busy = true;
    for (let now = { what }; now; now = next) {
      next = null;
      try { const answer = await send(now.what); if (!next) await done(answer, now.what); } catch (failure) { if (!next) fail(failure, now.what); }
    }
    busy = false;
  };
}

function styles() {
  if (document.querySelector('link[href="/web/rooms/plan.css"]')) return null;
  const link = el("link", { rel: "stylesheet", href: "/web/rooms/plan.css" });
  document.head.append(link);
  return new Promise((done) => { link.addEventListener("load", done); link.addEventListener("error", done); });
}

export default async function plan(main, bench) {
  const { draft } = bench;
  const [start, drawing] = await Promise.all([get("/plan/start"), get("/bodymap"), styles()]);
  const models = new Map(start.leads.map((one) => [one.id, one]));
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

  // ---------------------------------------------------------------- the patient

  const without = kept("plan.patient", {}); // age and pain of somebody whose pain has no place yet
  const patient = () => draft.case.patient ?? { age: without.age ?? null, indication: without.indication ?? null, pain: { areas: [], nrs: without.nrs ?? 5 } };
  function person(change, why) {
    draft.change((copy) => {
      const now = structuredClone(patient());
      change(now);
      keep("plan.patient", { age: now.age, indication: now.indication, nrs: now.pain.nrs });
      Object.assign(without, { age: now.age, indication: now.indication, nrs: now.pain.nrs });
      copy.patient = now.pain.areas.length ? now : null;
    }, why);
    showPatient();
  }
  /** Turns one side of an area on or off; both sides are written as the area alone. */
  function area(id, side, value) {
    person((now) => {
      const both = new Set(now.pain.areas.flatMap((one) => { const [sides, name] = split(one); return sides.map((each) => `${each}-${name}`); }));
      if (value) both.add(`${side}-${id}`); else both.delete(`${side}-${id}`);
      const order = drawing.areas.map((one) => one.id);
      now.pain.areas = order.flatMap((name) => { const found = SIDES.filter((each) => both.has(`${each}-${name}`)); return found.length === 2 ? [name] : found.map((each) => `${each}-${name}`); });
    }, `pain ${side} ${id}`);
  }
  const hurts = (id, side) => patient().pain.areas.some((one) => { const [sides, name] = split(one); return name === id && sides.includes(side); });
  const map = el("body-map");
  map.drawing = drawing;
  map.pick = "choose its area";
  const chips = el("div", { "aria-live": "polite" });
  let picked = null;
  on(map, "pick", ({ detail }) => { picked = detail.on ? [detail.dermatome, detail.side] : null; showPatient(); });
  const boxes = new Map();
  const table = el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "Area"), el("th", {}, "left"), el("th", {}, "right"))), el("tbody", {}, drawing.areas.map((one) => el("tr", {},
    el("td", {}, one.name, mark({ ...one, note: `stands for ${one.dermatomes.join(", ")}` })), SIDES.map((side) => {
      const box = el("input", { type: "checkbox", "aria-label": `${side} ${one.name}`, onchange: () => area(one.id, side, box.checked) });
      boxes.set(`${side}-${one.id}`, box);
      return el("td", {}, el("label", {}, box));
    })))));
  const age = number("Age", { min: 0, max: 120, step: 1, unit: "years", onchange: () => person((now) => { now.age = age.number; }, "age") });
  const nrs = number("Pain now", { min: 0, max: 10, step: 0.5, unit: "of 10", onchange: () => { if (nrs.number !== null) person((now) => { now.pain.nrs = nrs.number; }, "pain"); } });
  const indication = select("Indication", [{ value: "", label: "not said" }, ...start.indications.map((one) => ({ value: one.id, label: one.name }))],
    { onchange: () => person((now) => { now.indication = indication.value || null; }, "indication") });
  wrongs.set("patient.age", age).set("patient.pain.nrs", nrs).set("patient.indication", indication);
  const painWords = el("p", { class: "help" });
  const people = el("section", { class: "card", "aria-labelledby": "plan-pain" }, el("h2", { id: "plan-pain" }, "Pain"), el("div", { class: "two" }, age, nrs), indication,
    el("p", { class: "help" }, "Click where it hurts, then say which area it is; or tick areas in the list."), map, chips, painWords, el("details", {}, el("summary", {}, "List of areas"), el("div", { class: "areas", tabindex: 0, role: "region", "aria-label": "areas of pain" }, table)));
  const nameOf = (one) => { const [sides, id] = split(one); return `${sides.length === 2 ? "" : `${sides[0]} `}${drawing.areas.find((each) => each.id === id)?.name ?? id}`; };

  function showPatient() {
    const now = patient();
    map.pain = drawing.areas.flatMap((one) => SIDES.filter((side) => hurts(one.id, side)).flatMap((side) => one.dermatomes.map((dermatome) => [dermatome, side])));
    map.marked = picked ? [picked] : [];
    if (picked) {
      const [dermatome, side] = picked, found = drawing.areas.filter((one) => one.dermatomes.includes(dermatome)).sort((a, b) => a.dermatomes.length - b.dermatomes.length);
      const held = document.activeElement?.dataset?.area;
      fill(chips, el("p", {}, `${side[0].toUpperCase()}${side.slice(1)} ${dermatome} is part of:`), el("div", { class: "chips" }, found.map((one) => el("button", { type: "button", "data-area": one.id, "aria-pressed": String(hurts(one.id, side)),
        onclick: () => area(one.id, side, !hurts(one.id, side)) }, `${side} ${one.name}`)), !found.length && "no area that is told here"));
      if (held) chips.querySelector(`[data-area="${held}"]`)?.focus();
    } else fill(chips);
    for (const [name, box] of boxes) { const [sides, id] = split(name); box.checked = hurts(id, sides[0]); }
    fill(painWords, now.pain.areas.length ? `Hurts: ${now.pain.areas.map(nameOf).join(", ")}.` : "Nothing hurts yet. Without a painful area the case has no patient, and coverage is not compared with pain.");
    set(age, now.age ?? "");
    set(nrs, now.pain.nrs);
    set(indication, now.indication ?? "");
    advise();
  }

  // ---------------------------------------------------------------- levels

  const levels = el("div", {});
  const advice = el("section", { class: "card", "aria-labelledby": "plan-levels" }, el("h2", { id: "plan-levels" }, "Usual levels"), levels);
  let asked = "";
  const advise = quiet(async () => {
    const now = patient(), body = { areas: now.pain.areas, indication: now.indication }, wanted = JSON.stringify(body);
    if (wanted === asked) return;
    try {
      const { items } = await post("/plan/advice", body);
      asked = wanted;
      const row = (one) => el("div", { class: "level" }, el("div", { class: "spread" }, el("div", {}, el("strong", {}, one.target, mark({ ...one, name: "level", note: "" })),
        el("p", {}, `Active cathode at ${one.levels}${one.lateral ? `; ${one.lateral}` : ""}`)), button("Take it", async () => {
        const taken = (await post("/plan/take", { case: draft.case, target: one.target })).case;
        draft.change((copy) => Object.assign(copy, { anatomy: taken.anatomy, leads: taken.leads }), `level of ${one.target}`);
        bench.say(`The middle of the contacts of lead 1 is now at ${one.vertebra}${one.offset === "0 mm" ? ", on the midline" : `, ${one.offset.replace("-", "")} ${one.offset.startsWith("-") ? "left" : "right"} of the midline`}.`, "good");
      }, { where: fileSays, "aria-label": `Take it: ${one.target}` })), el("p", { class: "help" }, `for ${one.covers.map(nameOf).join(", ")}${one.difficulty ? ` · ${one.difficulty}` : ""} · ${one.evidence}: `, source(one)),
      one.notes && el("p", { class: "help" }, one.notes));
      fill(levels, items.length ? [items.slice(0, 3).map(row), items.length > 3 && el("details", {}, el("summary", {}, `${items.length - 3} more`), items.slice(3).map(row))]
        : el("p", { class: "plan-quiet" }, now.pain.areas.length ? "No published level in our tables speaks of these areas." : "Say where it hurts, and published levels for it appear here."));
    } catch (failure) { if (!(failure instanceof Offline)) complain(levels, failure); }
  }, 120);
  const source = (one) => { const link = one.doi && one.doi.split(" ; ")[0]; return link ? el("a", { href: link.startsWith("http") ? link : `https://doi.org/${link}`, target: "_blank", rel: "noopener noreferrer" }, one.source) : one.source; };

  // ---------------------------------------------------------------- anatomy

  const anatomyBox = el("div", {});
  const filled = el("div", {});
  const anatomy = el("section", { class: "card", "aria-labelledby": "plan-anatomy" }, el("h2", { id: "plan-anatomy" }, "Spinal canal"), choice("From", [{ value: "parametric", label: "tables of adults" }, { value: "labels", label: "MRI label map" }],
    { value: draft.case.anatomy.kind, onchange: (kind) => { wantsMap = kind === "labels"; if (!wantsMap && draft.case.anatomy.kind === "labels") draft.change((copy) => { copy.anatomy = { kind: "parametric", vertebra: copy.anatomy.vertebra }; }, "canal from tables"); showAnatomy(); } }), anatomyBox, filled);
  const kindChoice = anatomy.querySelector("fieldset");
  let wantsMap = draft.case.anatomy.kind === "labels", lastKind = draft.case.anatomy.kind, shape = "";
  const held = { map: null, levels: null };

  function showAnatomy() {
    const now = draft.case.anatomy, labels = wantsMap || now.kind === "labels", form = labels ? "labels" : "parametric";
    kindChoice.value = form;
    // what was said of the ids of a map stays until the map in use is another one
    const filledFor = labels ? `labels ${now.kind === "labels" ? JSON.stringify(now) : ""}` : form;
    if (shape !== filledFor) {
      shape = filledFor;
      for (const path of [...wrongs.keys()]) if (path.startsWith("anatomy")) wrongs.delete(path);
      fill(anatomyBox, labels ? mapForm(now) : tablesForm());
    }
    if (!labels) for (const [path, node] of wrongs) if (path.startsWith("anatomy.")) {
      const value = now[path.slice(8)];
      set(node, path.slice(8) in SIZES ? (mm(value) ?? "") : (value ?? ""));
    }
    const curve = wrongs.get("anatomy.curve");
    if (curve) { curve.input.disabled = now.extent !== "spine"; }
  }
  const said = (name, value) => draft.change((copy) => { copy.anatomy[name] = value; if (name === "extent" && value !== "spine") copy.anatomy.curve = "straight"; }, name.replaceAll("_", " "));
  const vertebraField = () => { const one = select("Vertebra", start.vertebrae, { onchange: () => said("vertebra", one.value), help: "z = 0 at its middle" }); wrongs.set("anatomy.vertebra", one); return one; };
  function tablesForm() {
    const pick = (name, label, help = "") => { const one = select(label, start.choices[name].map((value) => ({ value, label: WORDS[value] ?? value })), { onchange: () => said(name, one.value), help }); wrongs.set(`anatomy.${name}`, one); return one; };
    const shift = number("Cord segment shift", { min: -3, max: 3, step: 1, unit: "segments", help: "+ further caudal", onchange: () => { if (shift.number !== null) said("segment_shift", shift.number); } });
    wrongs.set("anatomy.segment_shift", shift);
    const sizes = start.sizes.map(({ name, low, high }) => {
      const one = number(SIZES[name], { step: 0.1, unit: "mm", help: `${num(low)} to ${num(high)} mm`, onchange: () => said(name, one.number === null ? null : `${one.number} mm`) });
      one.input.placeholder = "table";
      wrongs.set(`anatomy.${name}`, one);
      return one;
    });
    return [el("div", { class: "two" }, vertebraField(), pick("extent", "Along the spine"), pick("posture", "Posture"), pick("curve", "Curve")),
      el("details", {}, el("summary", {}, "Sizes of this person, conductivities"), el("p", { class: "help" }, "Left empty, a size is that of the tables at this vertebra."), el("div", { class: "two" }, sizes, pick("tissues", "Conductivities"), shift))];
  }

  function mapForm(now) {
    const own = now.kind === "labels";
    const vertebra = select("Vertebra", start.vertebrae, { value: now.vertebra, help: "what the map lacks is filled from the tables here" });
    const z0 = number("Height of its middle in the image", { step: 0.5, unit: "mm", value: own ? (mm(now.z0) ?? "") : "", help: "z of the scanner; where no id is a vertebra" });
    const where_ = el("div", {}), tables = el("div", {});
    const uses = { map: own ? uses_(now.labels, now.ignore, now.levels_file ? {} : now.vertebrae) : new Map(), levels: own && now.levels_file ? uses_({}, [], now.vertebrae) : new Map() };
    const upload = (which, label, help) => {
      const input = el("input", { type: "file", accept: ".nii,.gz,application/gzip", onchange: async () => {
        const [chosen] = input.files;
        if (!chosen) return;
        if (chosen.size > start.largest) { complain(where_, new Error(`${chosen.name} has ${num(chosen.size / 2 ** 20, "MB")}; at most ${start.largest / 2 ** 20} MB can be sent. Pack it as .nii.gz.`)); return; }
        fill(where_, el("div", { class: "notice", role: "status" }, `Sending ${chosen.name} …`));
        try {
          held[which] = await post("/plan/maps", chosen);
          keep(`plan.${held[which].file}`, chosen.name);
          uses[which].clear();
          fill(where_, el("div", { class: "notice good", role: "status" }, `${chosen.name}: ${held[which].shape.join(" × ")} voxels of ${held[which].spacing_mm.map((s) => num(s)).join(" × ")} mm.`, held[which].warnings.map((one) => el("div", { class: "help" }, one))));
          ids();
        } catch (failure) { complain(where_, failure); }
        input.value = "";
      } });
      return field(label, input, { help, wide: true });
    };
    const options = (which) => [el("option", { value: "" }, "choose …"), which === "map" && el("optgroup", { label: "tissue" }, start.tissues.map((one) => el("option", { value: one }, one.replaceAll("-", " ")))),
      el("option", { value: "ignore" }, "leave out"), el("optgroup", { label: "vertebra or disc" }, start.vertebrae.flatMap((one, i) => [one, start.vertebrae[i + 1] && `${one}/${start.vertebrae[i + 1]}`]).filter(Boolean).map((one) => el("option", { value: `v:${one}` }, one)))];
    function ids() {
      const one = (which, caption) => held[which] && el("div", { class: "ids", tabindex: 0, role: "region", "aria-label": caption }, el("table", {}, el("caption", { class: "sr" }, caption), el("thead", {}, el("tr", {}, el("th", {}, "Id"), el("th", { class: "n" }, "voxels"), el("th", {}, "z, mm"), el("th", {}, "is"))),
        el("tbody", {}, held[which].ids.map((row) => {
          const pick = el("select", { "aria-label": `id ${row.id} is`, onchange: () => uses[which].set(row.id, pick.value) }, options(which));
          pick.value = uses[which].get(row.id) ?? "";
          return el("tr", {}, el("td", {}, row.id), el("td", { class: "n" }, row.voxels.toLocaleString("en")), el("td", {}, `${num(row.low_mm)} to ${num(row.high_mm)}`), el("td", {}, pick));
        }))));
      fill(tables, one("map", "ids of the map"), one("levels", "ids of the file of levels"));
    }
    if (own) for (const [which, name] of [["map", now.file], ["levels", now.levels_file]]) if (name && held[which]?.file !== name) get(`/plan/maps/${name}`).then((told) => { held[which] = told; ids(); }, (failure) => complain(where_, failure));
    ids();
    const apply = button("Use this map", () => {
      if (!held.map) { complain(where_, new Error("Choose a label map first.")); return; }
      const found = { labels: {}, ignore: [], vertebrae: {} };
      for (const [id, use] of [...uses.map, ...uses.levels]) if (use.startsWith("v:")) (found.vertebrae[use.slice(2)] ??= []).push(id);
      for (const [id, use] of uses.map) if (use === "ignore") found.ignore.push(id); else if (use && !use.startsWith("v:")) (found.labels[use] ??= []).push(id);
      const named = Object.keys(found.vertebrae).length > 0;
      draft.change((copy) => {
        copy.anatomy = { kind: "labels", file: held.map.file, vertebra: vertebra.value, labels: found.labels, ignore: found.ignore, vertebrae: found.vertebrae, ...(held.levels && uses.levels.size ? { levels_file: held.levels.file } : {}), ...(z0.number !== null && !named ? { z0: `${z0.number} mm` } : {}) };
      }, "canal from a map");
    }, { kind: own ? "" : "main" });
    for (const [path, node] of [["anatomy.vertebra", vertebra], ["anatomy.z0", z0]]) wrongs.set(path, node);
    return [own && el("p", {}, el("span", { class: "tag good" }, "in use"), ` ${kept(`plan.${now.file}`) ?? now.file}`), upload("map", "Label map, NIfTI", `.nii or .nii.gz, up to ${start.largest / 2 ** 20} MB; every voxel holds the number of its tissue`),
      el("details", { open: Boolean(held.levels) || undefined }, el("summary", {}, "Vertebrae are in a file of their own"), upload("levels", "File of levels, NIfTI", "such as *_seg_labeled.nii.gz")), where_, tables, el("div", { class: "two" }, vertebra, z0), apply];
  }
  const numbers_ = (list) => list.flatMap((one) => { const [a, b] = String(one).split(":").map(Number); return Array.from({ length: (b ?? a) - a + 1 }, (_, i) => a + i); });
  function uses_(labels, ignore, vertebrae) {
    const found = new Map();
    for (const [name, list] of Object.entries(labels ?? {})) for (const id of numbers_(list)) found.set(id, name);
    for (const [name, list] of Object.entries(vertebrae ?? {})) for (const id of numbers_(list)) if (!found.has(id)) found.set(id, `v:${name}`);
    for (const id of numbers_(ignore ?? [])) found.set(id, "ignore");
    return found;
  }

  // ---------------------------------------------------------------- leads

  const leadBox = el("div", {}), leadWords = el("div", { "aria-live": "polite" });
  const leads = el("section", { class: "card", "aria-labelledby": "plan-leads" }, el("h2", { id: "plan-leads" }, "Leads"), leadBox, el("div", { class: "row" }, button("Add a lead", () => {
    change((copy) => {
      const last = copy.leads.at(-1), fresh = structuredClone(last);
      if (fresh.kind === "drg") fresh.side = fresh.side === "left" ? "right" : "left";
      else { const x = mm(last.lateral) ?? 0; fresh.lateral = `${x > 0 ? -Math.max(x, 1.5) : Math.max(-x, 1.5)} mm`; if (Math.abs(x) < 1.5) last.lateral = `${x > 0 ? 1.5 : -1.5} mm`; }
      copy.leads.push(fresh);
    }, "add a lead");
  })), leadWords);
  const addLead = leads.querySelector(".row button");
  let leadShape = "";
  const count = (lead) => models.get(lead.model)?.contacts ?? 0;

  /** Changes leads; contacts of programs are numbered anew with them. */
  function change(fn, why) {
    const changed = [];
    draft.change((copy) => {
      const before = copy.leads.map((lead) => ({ ref: lead, n: count(lead) }));
      fn(copy);
      // a lead that is still there keeps its contacts, whatever its new number
      const to = new Map();
      let from = 1;
      for (const { ref, n } of before) {
        const at = copy.leads.indexOf(ref);
        const first = at < 0 ? 0 : 1 + copy.leads.slice(0, at).reduce((sum, lead) => sum + count(lead), 0);
        for (let k = 0; k < n; k++) if (at >= 0 && k < count(ref)) to.set(from + k, first + k);
        from += n;
      }
      const middle = Math.max(1, Math.floor(count(copy.leads[0]) / 2));
      for (const program of copy.programs) for (const train of [program, ...(program.interleaved ?? [])]) {
        const entries = Object.entries(train.contacts ?? {}).map(([number, share]) => [number === "case" ? "case" : to.get(Number(number)), share]);
        if (entries.some(([number]) => number === undefined)) { train.contacts = { [middle]: -1, [middle + 1]: 1 }; changed.push(program.name); } else train.contacts = Object.fromEntries(entries);
      }
    }, why);
    if (changed.length) bench.say(`${[...new Set(changed)].join(", ")} used contacts that are gone, and now has a cathode and an anode in the middle of lead 1. Undo brings the old ones back.`, "warn", 12);
  }

  function showLeads() {
    const all = draft.case.leads, form = JSON.stringify(all.map((lead) => [lead.kind, lead.model]));
    if (leadShape !== form) {
      leadShape = form;
      for (const path of [...wrongs.keys()]) if (path.startsWith("leads")) wrongs.delete(path);
      fill(leadBox, all.map((lead, i) => leadForm(lead, i)));
    }
    all.forEach((lead, i) => {
      for (const name of ["tip_vertebra", "side"]) { const node = wrongs.get(`leads[${i}].${name}`); if (node) set(node, lead[name]); }
      for (const name of ["tip_offset", "lateral", "depth"]) { const node = wrongs.get(`leads[${i}].${name}`); if (node) set(node, mm(lead[name]) ?? ""); }
      const lean = wrongs.get(`leads[${i}].angle`);
      if (lean) set(lean, deg(lead.angle) ?? "");
    });
    addLead.disabled = all.length >= 4;
  }
  function leadForm(lead, i) {
    const path = (name, node) => { wrongs.set(`leads[${i}].${name}`, node); return node; };
    const to = (name, value) => draft.change((copy) => { copy.leads[i][name] = value; }, `lead ${i + 1}, ${name.replaceAll("_", " ")}`);
    const length = (name, label, step, help) => { const node = number(label, { step, unit: "mm", help, onchange: () => { if (node.number !== null) to(name, `${node.number} mm`); } }); return path(name, node); };
    const kinds = [["percutaneous", "Percutaneous"], ["paddle", "Paddle"], ["drg", "Dorsal root ganglion"]];
    const model = el("select", { onchange: () => change((copy) => {
      const chosen = models.get(model.value), now = copy.leads[i];
      now.model = chosen.id;
      if ((now.kind ?? "percutaneous") === chosen.kind) return;
      now.kind = chosen.kind;
      if (chosen.kind === "drg") { now.side = (mm(now.lateral) ?? 0) > 0 ? "right" : "left"; now.lateral = "0 mm"; now.angle = "0 deg"; } else delete now.side;
    }, `lead ${i + 1}, model`) }, kinds.map(([kind, label]) => el("optgroup", { label }, start.leads.filter((one) => one.kind === kind).map((one) => el("option", { value: one.id }, `${one.name} · ${one.contacts} contacts${one.unverified ? " · unverified" : ""}`)))));
    model.value = lead.model;
    const chosen = models.get(lead.model);
    const modelField = path("model", field("Model", model, { mark: mark({ ...chosen, name: "dimensions", note: chosen?.note }), wide: true }));
    const tip = select("Tip at the middle of", start.vertebrae, { onchange: () => to("tip_vertebra", tip.value) });
    const slot = el("div", {});
    slot.wrong = (words) => fill(slot, words && el("div", { class: "notice bad", role: "alert" }, words));
    wrongs.set(`leads[${i}]`, slot);
    const drg = chosen?.kind === "drg";
    const lean = drg ? null : number("Lean", { step: 0.5, unit: "deg", help: "+ tip to the right", onchange: () => { if (lean.number !== null) to("angle", `${lean.number} deg`); } });
    const side = drg ? select("Side", SIDES, { onchange: () => to("side", side.value) }) : null;
    return el("fieldset", { class: "one-lead" }, el("legend", {}, `Lead ${i + 1}`), modelField, chosen && el("p", { class: "help" }, `Contacts ${num(Number(chosen.contact_mm), "mm")} long, ${num(Number(chosen.pitch_mm), "mm")} from middle to middle.`),
      el("div", { class: "two" }, path("tip_vertebra", tip), length("tip_offset", "… and above it", 0.5, "− below"), drg ? path("side", side) : length("lateral", "Off the midline", 0.5, "+ right, − left"), length("depth", "Gap to the dura", 0.05), drg ? null : path("angle", lean)), slot,
      draft.case.leads.length > 1 && button(`Remove lead ${i + 1}`, () => change((copy) => { copy.leads.splice(i, 1); }, `remove lead ${i + 1}`), { kind: "danger" }));
  }

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
    fill(filled, heading, header.warnings.length ? el("details", { open: header.warnings.length < 4 || draft.case.anatomy.kind === "labels" || undefined }, el("summary", {}, `${header.warnings.length} to know`), el("ul", { class: "said" }, header.warnings.map((one) => el("li", {}, one)))) : null);
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

  function set(node, value) {
    if (node.input === document.activeElement && node.input.type === "number" && String(value) !== node.input.value && node.input.value === "") return;
    if (node.value !== String(value)) node.value = value;
  }
  function show() {
    set(title, draft.case.title);
    undo.disabled = !draft.undoable;
    redo.disabled = !draft.redoable;
    undo.setAttribute("aria-label", draft.undoable ? `Undo: ${draft.undoable}` : "Undo");
    redo.setAttribute("aria-label", draft.redoable ? `Redo: ${draft.redoable}` : "Redo");
    showPatient();
    showAnatomy();
    showLeads();
  }
  const drawn = () => position(draft.case) + JSON.stringify(draft.case.programs);
  let last = "";
  on(draft, "change", () => {
    if (lastKind === "labels" && draft.case.anatomy.kind !== "labels") wantsMap = false;
    lastKind = draft.case.anatomy.kind;
    show();
    if (drawn() !== last) { last = drawn(); draw(draft.case); }
  });
  fill(main, bar, fileSays, el("div", { class: "plan" }, el("div", { class: "stack" }, people, advice), el("div", { class: "stack middle" }, views, el("section", { class: "card", "aria-labelledby": "plan-slices" }, el("h2", { id: "plan-slices" }, "Slices of the field"), noField, slicesBox)), el("div", { class: "stack" }, anatomy, leads, fieldCard)));
  show();
  last = drawn();
  draw(draft.case);
  return () => { off.abort(); computing?.abort(); axial.forget(); sagittal.forget(); for (const one of [axial, sagittal]) window.Plotly?.purge(one.node); };
}
