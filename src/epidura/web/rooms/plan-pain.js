// Plan: who hurts where, and published levels that speak of it.

import { Offline, post } from "../lib/api.js";
import { el, fill, quiet } from "../lib/dom.js";
import { button, complain, number, select } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mark } from "../lib/marks.js";
import "../parts/body-map.js";
import { SIDES, set, split } from "./plan-parts.js";

/** The cards `people` and `advice`; `show()` brings them in line with the draft. */
export function pain({ bench, draft, start, drawing, on, wrongs, fileSays }) {
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
    map.pain = now.pain.areas;
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
  return { people, advice, show: showPatient };
}
