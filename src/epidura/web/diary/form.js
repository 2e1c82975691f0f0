// The answers of a day, in large targets. Nothing is compulsory; a number that cannot stand beside another one takes it along, and says so.

import { el, fill, fresh } from "../lib/dom.js";
import { Figure } from "./figure.js";
import { areaName, t } from "./words.js";

const TENTHS = Array.from({ length: 11 }, (_, k) => ({ value: k, label: String(k) }));
const HOURS = [0, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24].map((value) => ({ value, label: value === 0 ? t("off") : value === 24 ? "24" : String(value) }));
const DOSES = [0, 0.5, 1, 1.5, 2].map((value) => ({ value, label: t(`med${value}`) }));
const PAIN = ["least", "average", "worst"];

/** Large choices of which at most one holds; tapping it again takes it back. */
function cells(label, options, { low = "", high = "", big = true, columns = 6, unit = "" } = {}, onchange) {
  const name = fresh("a");
  let value = null;
  const shown = el("output", { class: "big", "aria-hidden": "true" });
  const none = el("input", { type: "radio", name, id: fresh("r"), value: "", checked: true, "aria-label": t("none") });
  const inputs = options.map((one) => el("input", { type: "radio", name, id: fresh("r"), value: String(one.value), "aria-label": big && unit ? `${one.label} ${unit}` : null }));
  const set = (next) => {
    value = next;
    const chosen = inputs[options.findIndex((one) => one.value === next)];
    (chosen ?? none).checked = true;
    fill(shown, next === null ? "" : big ? [String(next), el("small", {}, ` ${unit}`)] : "");
  };
  for (const [k, input] of inputs.entries()) input.addEventListener("change", () => { set(options[k].value); onchange(); });
  none.addEventListener("change", () => { set(null); onchange(); });
  const cell = (input, words) => [input, el("label", { for: input.id, onclick: (event) => { if (input !== none && input.checked) { event.preventDefault(); set(null); onchange(); } } }, words)];
  const node = el("fieldset", { class: "ask" }, el("legend", {}, el("span", {}, label), shown),
    el("div", { class: big ? "cells" : "cells wordy", style: { "--columns": columns } }, inputs.map((input, k) => cell(input, options[k].label)), cell(none, big ? "–" : t("unanswered"))),
    (low || high) && el("div", { class: "ends" }, el("span", {}, low), el("span", {}, high)));
  const said = el("p", { class: "told", role: "status" });
  node.append(said);
  return { node, set, has: (wanted) => options.some((one) => one.value === wanted), get value() { return value; }, tell: (words) => fill(said, words) };
}

/**
 * The form. `onchange()` after every answer. `form.answers` is what the server takes; `form.set(answers)` fills it in.
 * `form.ready({drawing, slots, before})` brings what comes later: the figure, programs, and the day before with what tingled then.
 */
export class Form {
  #asks = {}; #note; #slot = null; #wanted = null; #slotBox; #figure; #body; #list; #marked; #same; #before = null; #onchange; #areas = new Set();
  constructor(onchange) {
    this.#onchange = onchange;
    const tenths = (name, low, high) => { this.#asks[name] = cells(t(name), TENTHS, { low, high, unit: t("of10") }, () => { this.#order(name); onchange(); }); };
    for (const name of ["worst", "average", "least"]) tenths(name, name === "worst" ? t("pain0") : "", name === "worst" ? t("pain10") : "");
    tenths("sleep", t("sleep0"), t("sleep10"));
    tenths("activity", t("activity0"), t("activity10"));
    this.#asks.medication = cells(t("medication"), DOSES, { big: false, columns: 3 }, onchange);
    this.#asks.stimulation_hours = cells(t("hours"), HOURS, { unit: t("hoursUnit"), high: `24 = ${t("allDay")}` }, onchange);
    this.#slotBox = el("div", {});
    this.#figure = new Figure((areas) => { this.#mark(areas); onchange(); });
    this.#marked = el("p", { class: "told", role: "status" });
    this.#list = el("div", { class: "areas" });
    this.#same = el("div", {});
    this.#body = el("section", { class: "ask" }, el("h2", {}, t("tingling")), this.#same, this.#figure.node, this.#marked,
      el("details", {}, el("summary", {}, t("list")), this.#list));
    this.#note = el("textarea", { id: fresh("n"), rows: 2, maxlength: 1000, oninput: onchange, "aria-describedby": "note-help" });
    const { worst, average, least, sleep, activity, medication, stimulation_hours } = this.#asks;
    this.node = el("div", { class: "asks" }, [worst, average, least, sleep, activity, medication, stimulation_hours].map((one) => one.node), this.#slotBox, this.#body,
      el("section", { class: "ask" }, el("label", { class: "head", for: this.#note.id }, t("note")), this.#note, el("p", { class: "help", id: "note-help" }, t("noteHelp"))));
    this.#lists();
  }

  ready({ drawing, slots, before }) {
    if (drawing) this.#figure.drawing = drawing;
    const slot = this.#slot ? this.#slot.value : this.#wanted;
    this.#slot = slots?.length ? cells(t("slot"), slots.map((one) => ({ value: one, label: one })), { big: false, columns: 3 }, this.#onchange) : null;
    this.#slot?.set(slots.includes(slot) ? slot : null);
    fill(this.#slotBox, this.#slot?.node);
    this.#before = before ?? null;
    fill(this.#same, before?.tingling?.length ? el("button", { type: "button", onclick: () => { this.#figure.marked = before.tingling; this.#mark(before.tingling); this.#onchange(); } }, t("same", { day: before.words })) : null);
  }

  get answers() {
    const found = {};
    for (const [name, ask] of Object.entries(this.#asks)) if (ask.value !== null) found[name] = ask.value;
    if (this.#areas.size) found.tingling = [...this.#areas];
    if (this.#slot && this.#slot.value !== null) found.slot = this.#slot.value;
    if (this.#note.value.trim()) found.note = this.#note.value.trim();
    return found;
  }
  /** Whether the server would take it as a day. */
  get enough() { return Object.values(this.#asks).some((ask) => ask.value !== null); }
  set(answers) {
    for (const [name, ask] of Object.entries(this.#asks)) { ask.set(answers[name] ?? null); ask.tell(""); }
    this.#wanted = answers.slot || null;
    this.#slot?.set(this.#slot.has(this.#wanted) ? this.#wanted : null);
    this.#note.value = answers.note ?? "";
    this.#figure.marked = answers.tingling ?? [];
    this.#mark(answers.tingling ?? []);
  }

  /** least <= average <= worst: what was tapped last holds, and takes the others along. */
  #order(changed) {
    const value = this.#asks[changed].value, place = PAIN.indexOf(changed);
    if (place < 0) return;
    for (const name of PAIN) this.#asks[name].tell("");
    if (value === null) return;
    for (const [k, name] of PAIN.entries()) {
      const ask = this.#asks[name], words = { which: t(name), other: t(changed).toLowerCase(), value };
      if (ask.value === null) continue;
      if (k < place && ask.value > value) { ask.set(value); ask.tell(t("lowered", words)); }
      if (k > place && ask.value < value) { ask.set(value); ask.tell(t("raised", words)); }
    }
  }

  #lists() {
    this.#boxes = new Map();
    const box = (id, words) => {
      const input = el("input", { type: "checkbox", id: fresh("t"), onchange: () => { const next = new Set(this.#areas); if (input.checked) next.add(id); else next.delete(id); this.#figure.marked = [...next]; this.#mark([...next]); this.#onchange(); } });
      this.#boxes.set(id, input);
      return [input, el("label", { for: input.id, "aria-label": areaName(id) }, words)];
    };
    fill(this.#list, Figure.areas.map((area) => el("div", { class: "area" }, el("span", {}, t(`area-${area}`)), el("span", { class: "pair" }, box(`left-${area}`, t("left")), box(`right-${area}`, t("right"))))));
  }
  #boxes = new Map();
  #mark(areas) {
    this.#areas = new Set(areas);
    for (const [id, input] of this.#boxes) input.checked = this.#areas.has(id);
    fill(this.#marked, areas.length ? t("felt", { areas: [...this.#areas].map(areaName).join(", ") }) : t("nowhere"));
  }
}
