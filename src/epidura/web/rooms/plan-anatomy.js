// Plan: the spinal canal, from tables of adults or from a label map of an MRI.

import { get, post } from "../lib/api.js";
import { el, fill, num } from "../lib/dom.js";
import { button, choice, complain, field, number, select } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mm, set } from "./plan-parts.js";

const SIZES = { dorsal_csf: "Fluid dorsal of the cord", dorsal_epidural: "Dorsal epidural space", dura: "Dura, thickness", cord_width: "Cord, width", cord_depth: "Cord, depth", canal_depth: "Canal, depth" };
const WORDS = { vertebra: "one cross-section, everywhere", spine: "changes along the spine", supine: "supine", prone: "prone", standing: "standing", straight: "straight", physiological: "bent as when standing",
  "low-dura": "dura conducts poorly", "high-dura": "dura conducts better" };

/** The card `node`, with `filled` for what the server says of the canal; `show()` brings it in line with the draft, `changed()` when that is another. */
export function canal({ draft, start, wrongs }) {
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
  /** A map that was undone is not asked for any longer. */
  function changed() {
    if (lastKind === "labels" && draft.case.anatomy.kind !== "labels") wantsMap = false;
    lastKind = draft.case.anatomy.kind;
  }
  return { node: anatomy, filled, show: showAnatomy, changed };
}

const numbers_ = (list) => list.flatMap((one) => { const [a, b] = String(one).split(":").map(Number); return Array.from({ length: (b ?? a) - a + 1 }, (_, i) => a + i); });
function uses_(labels, ignore, vertebrae) {
  const found = new Map();
  for (const [name, list] of Object.entries(labels ?? {})) for (const id of numbers_(list)) found.set(id, name);
  for (const [name, list] of Object.entries(vertebrae ?? {})) for (const id of numbers_(list)) if (!found.has(id)) found.set(id, `v:${name}`);
  for (const id of numbers_(ignore ?? [])) found.set(id, "ignore");
  return found;
}
