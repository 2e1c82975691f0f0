// The pathway: patients, one patient's record, its forms and its summary.

import { get, Offline } from "../lib/api.js";
import { day, el, fill, quiet } from "../lib/dom.js";
import { complain, select, text } from "../lib/fields.js";
import { pretty } from "../lib/form.js";
import { kept, keep } from "../lib/keep.js";
import "../parts/body-map.js";
import { wide } from "./pathway-charts.js";
import { correctionForm, eventForm, referForm } from "./pathway-forms.js";
import { KINDS, SECTIONS } from "./pathway-kinds.js";
import { DRAW, head, timeline } from "./pathway-patient.js";
import { summary } from "./pathway-summary.js";

let basics = null;
const seen = new Map(); // patients of this visit, so that a page is there while the server is away

/** Lists, schemas and the drawing of the body: asked for once. */
function common() {
  basics ??= Promise.all([get("/pathway/lists"), get("/event-kinds"), get("/bodymap"), get("/waveforms")]).then(([lists, kinds, drawing, waveforms]) => ({ lists, drawing, waveforms: waveforms.items, kinds: Object.fromEntries(kinds.items.map((one) => [one.kind, one])) }));
  basics.catch(() => { basics = null; });
  return basics;
}

function styled() {
  if (document.querySelector('link[href="/web/rooms/pathway.css"]')) return null;
  const sheet = el("link", { rel: "stylesheet", href: "/web/rooms/pathway.css" });
  return new Promise((done) => { sheet.onload = sheet.onerror = done; document.head.append(sheet); });
}

export default async function pathway(main, bench) {
  const [id, section = "overview", what] = bench.parts;
  const [shared] = await Promise.all([common(), styled()]);
  if (!id) return patients(main, bench, shared);
  if (id === "new") { fill(main, referForm(bench, shared)); return null; }
  const read = async () => {
    try { const view = await get(`/patients/${encodeURIComponent(id)}/pathway`); seen.set(id, view); return view; } catch (failure) {
      if (failure instanceof Offline && seen.has(id)) return seen.get(id);
      throw failure;
    }
  };
  let view = await read();
  document.title = `${view.pseudonym} – Epidura`;
  if (section === "summary") { fill(main, summary(bench, shared, view)); return null; }
  const top = el("div", {}), body = el("div", { class: "stack" }), aside = el("aside", { class: "card", "aria-label": "latest entries" });
  const writing = section === "record" && KINDS[what]?.act && shared.kinds[what] ? what : null, correcting = section === "correct" && /^\d+$/.test(what ?? "") ? Number(what) : null;
  const here = writing ? KINDS[writing].section : correcting ? "overview" : SECTIONS[section] ? section : "overview";
  const refresh = async () => { view = await read(); paint(); return view; };
  const paint = () => { fill(top, head(view, here)); const tab = top.querySelector(".sections [aria-current]"); if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - 40; if (!writing && !correcting) fill(body, DRAW[here]({ ...bench, refresh }, shared, view)); else fill(aside, el("h2", {}, "Latest entries"), timeline(view, 8)); };
  fill(main, el("div", { class: "stack" }, top, body));
  paint();
  if (writing || correcting) {
    const form = writing ? eventForm(bench, shared, view, writing, refresh) : correctionForm(bench, shared, view, correcting, refresh), title = form.querySelector("h2");
    fill(body, el("div", { class: "two beside-form" }, form, aside));
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
    if (form.getBoundingClientRect().top > innerHeight / 2) form.scrollIntoView({ block: "start" });
  }
  const mine = ({ detail }) => { if (detail.entry.path.includes(id)) refresh().catch((failure) => complain(null, failure)); };
  const count = () => { if (!writing && !correcting) paint(); };
  bench.outbox.addEventListener("sent", mine);
  bench.outbox.addEventListener("refused", mine);
  bench.outbox.addEventListener("change", count);
  return () => { bench.outbox.removeEventListener("sent", mine); bench.outbox.removeEventListener("refused", mine); bench.outbox.removeEventListener("change", count); };
}

/** Everybody in the record, with names; looked for by name, number or pseudonym. */
function patients(main, bench, shared) {
  const before = kept("pathway.look", {}), where = el("div", {}), list = el("div", { "aria-live": "polite" }), more = el("div", {});
  const words = text("Name, number or pseudonym", { value: before.words ?? "", type: "search" }), stage = select("Stage", [{ value: "", label: "all stages" }, ...shared.lists.stages.map((one) => ({ value: one.id, label: one.name }))], { value: before.stage ?? "" });
  let turn = 0, rows = null;
  const look = async (after = "") => {
    const mine = ++turn;
    keep("pathway.look", { words: words.value, stage: stage.value });
    fill(where);
    try {
      const asked = new URLSearchParams({ limit: 25, ...(words.value.trim() ? { words: words.value.trim() } : {}), ...(stage.value ? { stage: stage.value } : {}), ...(after ? { after } : {}) });
      const told = await get(`/pathway/patients?${asked}`);
      if (mine !== turn) return;
      for (const option of stage.input.options) { const [name] = option.textContent.split(" ("); const n = option.value ? told.counts[option.value] ?? 0 : Object.values(told.counts).reduce((a, b) => a + b, 0); option.textContent = `${name} (${n})`; }
      if (!after) { rows = el("tbody", {}); fill(list, told.items.length ? wide("patients", el("table", { class: "patients" }, el("thead", {}, el("tr", {}, ["Patient", "Stage", "Since", "Indication", "To do"].map((one) => el("th", { scope: "col" }, one)))), rows)) : el("p", {}, words.value || stage.value ? "Nobody fits." : "Nobody is in the record yet.")); }
      rows.append(...told.items.map((one) => el("tr", {}, el("td", {}, el("a", { href: `#/pathway/${one.id}` }, one.name || (one.erased ? "name erased" : one.pseudonym)), el("div", { class: "help" }, [one.pseudonym, one.birth_date && `born ${day(one.birth_date)}`].filter(Boolean).join(", "))), el("td", {}, one.stage, one.died ? el("span", { class: "tag" }, "died") : null), el("td", {}, day(one.since)), el("td", {}, pretty(one.indication || "–")),
        el("td", {}, one.overdue.map((visit) => el("span", { class: "tag bad" }, `overdue: ${visit}`)), one.due.map((visit) => el("span", { class: "tag warn" }, `due: ${visit}`))))));
      fill(more, told.next ? el("button", { type: "button", onclick: () => look(told.next) }, "More") : null);
    } catch (failure) { complain(where, failure); }
  };
  words.input.addEventListener("input", quiet(() => look(), 250));
  stage.input.addEventListener("change", () => look());
  fill(main, el("div", { class: "spread" }, el("h1", {}, "Patients"), el("a", { class: "button main", href: "#/pathway/new" }, "Refer a patient")),
    el("section", { class: "card" }, el("form", { class: "row look", role: "search", onsubmit: (event) => { event.preventDefault(); look(); } }, words, stage), where, list, more));
  look();
  const sent = ({ detail }) => { if (detail.entry.path === "/patients") look(); };
  bench.outbox.addEventListener("sent", sent);
  return () => { turn = -1; bench.outbox.removeEventListener("sent", sent); };
}
