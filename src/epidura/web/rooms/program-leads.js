// Leads with their contacts as buttons, as they lie, seen from behind; shares of the current on each side.

import { post } from "../lib/api.js";
import { el, fill, fresh } from "../lib/dom.js";
import { button, complain } from "../lib/fields.js";
import { mark } from "../lib/marks.js";

const SCALE = 5.2; // pixels for a millimetre along the lead
const SIGN = { "-1": "−", 0: "", 1: "+" };
const WORDS = { "-1": "cathode", 0: "off", 1: "anode" };
const NEAR = 1e-6;

export function leads(room) {
  const drawn = el("div", { class: "leads" }), shares = el("div", {}), problem = el("div", {}), sides = el("span", { class: "help" });
  const node = el("section", { class: "card", "aria-labelledby": "contacts" }, el("h2", { id: "contacts" }, "Contacts"),
    el("p", { class: "help" }, "Click through off, cathode (−), anode (+). Seen from behind: the patient's left is on the left."), drawn, shares, sides, problem);
  let layout = null, of = "", pending = null, last = "";

  const contacts = () => pending ?? room.train().contacts;
  const sum = (sign) => Object.values(contacts()).filter((share) => share * sign > 0).reduce((total, share) => total + share, 0);

  /** Off, cathode, anode; a side that changes shares equally. */
  function next(number) {
    const now = { ...contacts() }, was = Math.sign(now[number] ?? 0), to = was === 0 ? -1 : was < 0 ? 1 : 0;
    const others = Object.entries(now).filter(([key, share]) => key !== number && share !== 0);
    const made = {};
    for (const sign of [-1, 1]) {
      const own = others.filter(([, share]) => share * sign > 0).map(([key]) => key);
      const changes = was === sign || to === sign;
      if (to === sign) own.push(number);
      for (const key of own) made[key] = changes ? sign / own.length : now[key];
    }
    put(made, `contact ${number} ${WORDS[to]}`);
  }

  /** Shares go into the draft once they balance; until then they wait here. */
  function put(made, why) {
    const ordered = Object.fromEntries(Object.entries(made).filter(([, share]) => share !== 0).sort(([a], [b]) => (a === "case") - (b === "case") || a - b));
    pending = ordered;
    if (Math.abs(sum(-1) + 1) < NEAR && Math.abs(sum(1) - 1) < NEAR) {
      pending = null;
      room.change((train) => { train.contacts = ordered; }, why);
    }
    paint();
  }

  /** The case takes what is missing; else each side is brought to the whole. */
  function balance() {
    const made = { ...contacts() };
    const side = (sign) => Object.keys(made).filter((key) => made[key] * sign > 0);
    for (const sign of [-1, 1]) {
      const own = side(sign), whole = own.reduce((total, key) => total + Math.abs(made[key]), 0);
      if (!own.length) { if (sign > 0) made.case = 1; continue; }
      for (const key of own) made[key] = (sign * Math.abs(made[key])) / whole;
    }
    if (!side(-1).length) return;
    put(made, "balance");
  }

  function paint() {
    const now = contacts();
    for (const contact of node.querySelectorAll("[data-contact]")) {
      const sign = Math.sign(now[contact.dataset.contact] ?? 0), label = contact.dataset.contact === "case" ? "case" : contact.dataset.contact;
      contact.className = `contact ${contact.dataset.contact === "case" ? "case" : ""} ${sign ? WORDS[sign] : ""}`;
      contact.setAttribute("aria-label", `${label === "case" ? "case of the generator" : `contact ${label}`}: ${WORDS[sign]}`);
      fill(contact, label, SIGN[sign] && el("span", { "aria-hidden": "true" }, SIGN[sign]));
    }
    const active = Object.entries(now).filter(([, share]) => share);
    const minus = sum(-1), plus = sum(1), wrong = Math.abs(minus + 1) > NEAR || Math.abs(plus - 1) > NEAR;
    const focused = document.activeElement?.dataset?.share;
    fill(shares, el("div", { class: "shares" }, active.map(([key, share]) => {
      const id = fresh("share");
      return [el("label", { for: id, class: share < 0 ? "cathode" : "anode" }, el("span", { class: "polarity" }, share < 0 ? "−" : "+"), ` ${key}`),
        el("span", { class: "control" }, el("input", { id, type: "number", min: 0, max: 100, step: "any", value: Number((100 * Math.abs(share)).toFixed(1)), "data-share": key, "aria-label": `share of ${key === "case" ? "the case" : `contact ${key}`}, per cent`,
          onchange: (event) => { const value = event.target.valueAsNumber; if (value >= 0 && value <= 100) put({ ...contacts(), [key]: (Math.sign(share) * value) / 100 }, `share of ${key}`); } }), el("span", { class: "unit" }, "%"))];
    })));
    if (focused) shares.querySelector(`[data-share="${focused}"]`)?.focus();
    fill(sides, `cathodes ${(100 * -minus).toFixed(0)} %, anodes ${(100 * plus).toFixed(0)} %`);
    fill(problem, wrong && el("div", { class: "notice warn", role: "status" }, active.length === 0 || minus === 0 ? "A program needs at least one cathode." : plus === 0 ? "There is no anode yet. Choose one, or let the case take the current." : "Each side has to carry 100 %. Until then the last balanced contacts are shown.",
      el("div", { class: "row" }, minus !== 0 && button(plus === 0 ? "Case as anode" : "Balance", balance), button("Back to the last ones", () => { pending = null; paint(); }))));
  }

  async function draw() {
    const key = JSON.stringify(room.draft.case.leads), train = `${room.state.index} ${room.state.train} ${JSON.stringify(room.train().contacts)}`;
    if (train !== last) { last = train; pending = null; }
    if (key !== of) {
      of = key;
      try { layout = (await post("/program/leads", { case: room.draft.case })).leads; } catch (failure) { of = ""; if (failure.status) complain(problem, failure); return; }
      arrange();
    }
    paint();
  }

  function arrange() {
    const sorted = [...layout].sort((a, b) => a.lateral_mm - b.lateral_mm);
    const high = Math.min(...sorted.filter((lead) => lead.order !== null).map((lead) => lead.order));
    fill(drawn, sorted.map((lead) => {
      const low = Math.max(...lead.contacts.map((each) => -each.z_mm + each.height_mm / 2)), across = Math.max(...lead.contacts.map((each) => Math.abs(each.x_mm))) > 0;
      const columns = [...new Set(lead.contacts.map((each) => each.x_mm))].sort((a, b) => a - b);
      const width = across ? columns.length * 56 : 64, tall = Math.max(low + 2, 8) * SCALE;
      const unit = Math.max(1, 27 / (lead.contacts[0].height_mm * SCALE));
      const scale = lead.contacts.length > 1 ? Math.max(1, 32 / Math.min(...gaps(lead)) / SCALE) : unit;
      const shift = Math.max(0, 18 - Math.min(...lead.contacts.map((each) => -each.z_mm)) * SCALE * scale);
      const shaft = el("div", { class: "shaft", style: { width: `${width}px`, height: `${tall * scale + shift}px` } }, lead.contacts.map((each) => el("button", {
        type: "button", class: "contact", "data-contact": each.number, onclick: () => next(String(each.number)),
        style: { left: `${across ? columns.indexOf(each.x_mm) * 56 + 4 : 6}px`, top: `${(-each.z_mm * SCALE * scale) - 14 + shift}px`, width: across ? "48px" : "52px", height: "28px" } })));
      return el("div", { class: "lead", role: "group", "aria-label": `lead ${lead.lead + 1}, ${lead.name}` }, el("div", {}, lead.name, mark(lead.evidence)),
        el("div", {}, lead.tip && `tip ${lead.tip}`, lead.order !== null && lead.order > high ? " (lower)" : "", lead.kind === "drg" || lead.side ? ` ${lead.side}` : `, ${lead.lateral_mm === 0 ? "midline" : `${Math.abs(lead.lateral_mm).toFixed(1)} mm ${lead.lateral_mm < 0 ? "left" : "right"}`}`), shaft);
    }), el("div", { class: "lead" }, el("div", {}, "generator"), el("button", { type: "button", class: "contact case", "data-contact": "case", onclick: () => next("case") })));
  }

  const gaps = (lead) => lead.contacts.flatMap((a, i) => lead.contacts.slice(i + 1).filter((b) => a.x_mm === b.x_mm).map((b) => Math.abs(a.z_mm - b.z_mm)));
  return { node, draw };
}
