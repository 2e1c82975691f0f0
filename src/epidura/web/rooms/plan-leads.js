// Plan: which leads lie where.

import { el, fill, num } from "../lib/dom.js";
import { button, field, number, select } from "../lib/fields.js";
import { mark } from "../lib/marks.js";
import { SIDES, deg, mm, set } from "./plan-parts.js";

/** The card `node`; `show()` brings it in line with the draft. */
export function leadForms({ bench, draft, start, wrongs }) {
  const models = new Map(start.leads.map((one) => [one.id, one]));
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
  return { node: leads, show: showLeads };
}
