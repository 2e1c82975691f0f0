// One patient: where on the pathway, what is next, and a section for each part of it.

import { del, get, post, put, work } from "../lib/api.js";
import { day, el, fill, num } from "../lib/dom.js";
import { button, choice, complain, text } from "../lib/fields.js";
import { pretty } from "../lib/form.js";
import { mark } from "../lib/marks.js";
import { diaryChart, trend, wide } from "./pathway-charts.js";
import { missing, pending } from "./pathway-forms.js";
import { KINDS, lack, SECTIONS, USUAL } from "./pathway-kinds.js";
import { areaName } from "./pathway-widgets.js";

const percent = (value) => num(value, "%", 100, 3);
const facts = (...pairs) => el("dl", { class: "facts" }, pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "" && pair[1] !== "–").map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const STATE = { met: ["good", "met"], "not met": ["bad", "not met"], missing: ["warn", "missing"], caution: ["warn", "weigh"], "not applicable": ["", "not applicable"], ok: ["good", "ok"], warning: ["warn", "warning"], refused: ["bad", "bars"], done: ["good", "done"], due: ["warn", "due"], overdue: ["bad", "overdue"], later: ["", "later"] };
export const sign = (state) => { const [kind, words] = STATE[state] ?? ["", state]; return el("span", { class: `tag ${kind}` }, words); };
const to = (view, ...parts) => `#/pathway/${view.id}${parts.length ? `/${parts.map(encodeURIComponent).join("/")}` : ""}`;

/** Name, stage as a row of words, and the way to the sections. */
export function head(view, section) {
  const { state } = view, age = state.birth_year ? `born ${state.birth_year}` : "";
  return el("header", { class: "patient-head card" },
    el("div", { class: "spread" }, el("div", {}, el("h1", {}, view.name || "Name erased", " ", el("span", { class: "tag" }, view.pseudonym)),
      el("p", { class: "help" }, [state.indication && pretty(state.indication), age, state.sex, `${view.stage} since ${day(state.since)}`, state.died && `died ${day(state.died)}`].filter(Boolean).join(" · "))),
      el("div", { class: "row noprint" }, el("a", { class: "button", href: to(view, "summary") }, "Summary to print"), el("a", { class: "button quiet", href: "#/pathway" }, "All patients"))),
    el("ol", { class: "steps", "aria-label": "stage of the pathway" }, view.steps.map((one) => el("li", { class: one.state.replace(" ", "-"), "aria-current": one.state === "now" ? "step" : null },
      el("span", { class: "step-name" }, one.stage && one.stage !== one.name && ["optimise first", "not suitable", "trial succeeded", "trial failed", "revised"].includes(one.stage) ? one.stage : one.name), el("span", { class: "help" }, one.on ? day(one.on) : one.state === "now" ? "now" : one.state === "ahead" ? "" : "passed over")))),
    el("nav", { class: "sections", "aria-label": "sections" }, Object.entries(SECTIONS).map(([name, words]) => el("a", { href: name === "overview" ? to(view) : to(view, name), "aria-current": name === section ? "page" : null }, words, badge(view, name)))));
}

function badge(view, name) {
  const count = { complications: view.complications.length, followup: view.visits.filter((one) => one.state === "overdue" || one.state === "due").length }[name];
  return count ? el("span", { class: "count" }, ` ${count}`, el("span", { class: "sr" }, name === "followup" ? " visits due" : " on record")) : null;
}

/** What can be written in a section; what is missing stands beside it. */
function acts(bench, view, section, kinds = null) {
  const all = view.next.filter((one) => KINDS[one.kind]?.act && (kinds ? kinds.includes(one.kind) : KINDS[one.kind].section === section));
  if (!all.length) return null;
  return el("div", { class: "acts noprint" }, all.sort((a, b) => a.missing.length - b.missing.length).map((one) => act(bench, view, one)));
}

function act(bench, view, one, main = false) {
  const words = KINDS[one.kind].act;
  if (one.physician && bench.me.person.role !== "physician") return el("div", { class: "act" }, el("button", { type: "button", disabled: true }, words), el("span", { class: "help" }, "a physician decides this"));
  return el("div", { class: "act" }, el("a", { class: `button${main && !one.missing.length ? " main" : ""}`, href: to(view, "record", one.kind) }, words), one.missing.length ? el("span", { class: "help" }, `missing: ${one.missing.length === 1 ? lack(one.missing[0]) : `${one.missing.length} things`}`) : null);
}

export const DRAW = { overview, selection, procedure, trial, implant, followup, complications, explant };

function overview(bench, shared, view) {
  const usual = (USUAL[view.stage] ?? []).map((kind) => view.next.find((one) => one.kind === kind)).filter(Boolean), first = usual[0];
  const others = view.next.filter((one) => !usual.includes(one) && KINDS[one.kind]?.act), due = view.visits.filter((one) => one.state === "due" || one.state === "overdue");
  return [pending(bench, view), alarm(view),
    el("section", { class: "card", "aria-labelledby": "next" }, el("h2", { id: "next" }, "What can be done next"),
      first?.missing.length ? missing(view, first.missing, `${KINDS[first.kind].act}: still missing`) : null,
      el("div", { class: "acts" }, usual.map((one, k) => act(bench, view, one, usual.findIndex((each) => !each.missing.length) === k))),
      due.length ? el("p", {}, "Visits: ", due.map((one, k) => [k ? ", " : "", one.name, " ", sign(one.state)])) : null,
      el("details", {}, el("summary", {}, "Everything else that can be recorded"), Object.entries(SECTIONS).map(([name, words]) => { const here = others.filter((one) => KINDS[one.kind].section === name); return here.length ? [el("h3", {}, words), el("div", { class: "acts" }, here.map((one) => act(bench, view, one)))] : null; }))),
    el("div", { class: "two" },
      el("section", { class: "card", "aria-labelledby": "timeline" }, el("h2", { id: "timeline" }, "Timeline"), timeline(view)),
      el("div", { class: "stack" }, person(bench, shared, view), links(bench, view)))];
}

function person(bench, shared, view) {
  const { state, identity } = view, map = document.createElement("body-map");
  map.drawing = shared.drawing;
  map.pain = state.pain_areas;
  return el("section", { class: "card", "aria-labelledby": "who" }, el("h2", { id: "who" }, "Patient"),
    identity ? facts(["Born", day(identity.birth_date)], ["Sex", state.sex], ["Language", state.language], ["Phone", identity.phone], ["E-mail", identity.email], ["Address", identity.address], ["To call", identity.contact], ...Object.entries(identity.identifiers ?? {})) : el("p", { class: "help" }, "The identity was erased on request."),
    el("h3", {}, "Where it hurts"), (state.pain_areas ?? []).length ? [el("p", {}, state.pain_areas.map((id) => areaName(shared.drawing, id)).join(", "), state.referral_nrs !== null && state.referral_nrs !== undefined ? ` · ${state.referral_nrs} of 10 at referral` : ""), el("div", { class: "small-map" }, map)] : el("p", { class: "help" }, "not recorded"));
}

/** The link that opens the patient's diary on a phone. */
function links(bench, view) {
  const where = el("div", {}), body = el("div", {});
  if (view.state.died || view.state.erased) return null;
  const make = button("Make a link", async () => {
    fill(body); // the one before may be used already
    const told = await post(`/patients/${view.id}/diary-links`);
    const address = location.origin + told.path, field = text("Link for the patient's phone", { value: address });
    field.input.readOnly = true;
    fill(body, field, el("p", { class: "help" }, `It opens the diary of this patient once, until ${new Date(told.expires).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}. Hand it over in person or by a way that you trust.`),
      el("div", { class: "row" }, button("Copy", async () => { field.input.select(); await navigator.clipboard?.writeText(address); bench.say("Copied."); }, { where })));
    field.input.focus();
    field.input.select();
  }, { where });
  return el("section", { class: "card", "aria-labelledby": "diary-link" }, el("h2", { id: "diary-link" }, "Diary on the phone"), el("p", { class: "help" }, "A link that is used once; after that the phone keeps its session."), body, where,
    el("div", { class: "row" }, make, button("Take links back", async () => { await del(`/patients/${view.id}/diary-links`); fill(body); bench.say("Links are taken back, and sessions that came from them have ended."); }, { where, kind: "danger" })));
}

const UNCORRECTED = new Set(["record.corrected", "patient.registered", "patient.erased"]);

/** Entries, the latest first: so many, and all of them when asked. */
function timeline(view, most = 14) {
  const every = [...view.timeline].reverse().filter((one) => one.kind !== "record.corrected"), whole = every.slice(0, most), count = view.diary.length;
  return [count ? el("p", { class: "help" }, `The diary has ${count} ${count === 1 ? "day" : "days"}, ${day(view.diary[0].day)} to ${day(view.diary.at(-1).day)}; they are drawn under Trial and Follow-up.`) : null,
    el("ol", { class: "timeline" }, whole.map((one, k) => el("li", { id: `entry-${one.version}`, class: [one.corrected && "corrected", whole[k - 1]?.on === one.on && "same"].filter(Boolean).join(" ") },
      el("div", { class: "when" }, day(one.on)),
      el("div", { class: "what" },
        one.corrected ? [el("div", { class: "old" }, el("s", {}, el("strong", {}, KINDS[one.kind]?.name ?? one.kind), one.words && `: ${one.words}`), el("span", { class: "tag warn" }, one.corrected.instead ? "corrected" : "struck out")),
          one.corrected.instead ? el("div", {}, el("strong", {}, KINDS[one.kind]?.name ?? one.kind), `: ${one.corrected.words}`, one.corrected.instead.on && one.corrected.instead.on !== one.on ? ` (${day(one.corrected.instead.on)})` : "") : null,
          el("div", { class: "help" }, `because ${one.corrected.why}; by ${one.corrected.who}`)]
          : el("div", {}, el("strong", {}, KINDS[one.kind]?.name ?? one.kind), one.words && `: ${one.words}`),
        one.why && one.kind !== "case.linked" ? el("div", { class: "help" }, `remark: ${one.why}`) : null, one.sealed ? el("div", { class: "help" }, "names and free words were erased") : null,
        el("div", { class: "help by" }, `${one.who}, written ${new Date(one.recorded).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`, UNCORRECTED.has(one.kind) || view.state.erased ? null : [" · ", el("a", { class: "noprint", href: to(view, "correct", one.version), "aria-label": `Correct ${KINDS[one.kind]?.name ?? one.kind} of ${day(one.on)}` }, "correct")]))))),
    every.length > most ? el("button", { type: "button", class: "noprint", onclick: (event) => fill(event.target.parentElement, el("h2", { id: "timeline" }, "Timeline"), timeline(view, every.length)) }, `Show all ${every.length} entries`) : null];
}

function selection(bench, shared, view) {
  const list = view.checklist, signatures = Object.values(view.state.signatures ?? {});
  const groups = list ? [...new Set(list.items.map((one) => one.group))] : [];
  return [pending(bench, view), el("section", { class: "card" }, el("div", { class: "spread" }, el("h2", {}, "Checklist"), list ? el("a", { class: "button noprint", href: `/api/v1/patients/${view.id}/sign-off`, target: "_blank", rel: "noopener" }, "Sign-off page") : null),
    list ? [el("p", {}, "Rule: ", el("strong", {}, list.name), `, assessed ${day(list.on)}. The team is ${list.team === "demanded" ? "demanded" : "not stated"} by it.`), el("ul", { class: "advice" }, list.advice.map((one) => el("li", {}, one))),
      wide("checklist", el("table", { class: "checklist" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "State"), el("th", { scope: "col" }, "Question"), el("th", { scope: "col" }, "What is known"))), groups.map((group) => el("tbody", {}, el("tr", {}, el("th", { colspan: 3, scope: "rowgroup" }, pretty(group))),
        list.items.filter((one) => one.group === group).map((one) => el("tr", {}, el("td", {}, sign(one.state)), el("td", {}, one.question, one.weight === "hard" ? el("span", { class: "help" }, " hard") : null, one.needed === "implant" ? el("span", { class: "help" }, " before the implant") : null, mark({ ...one, name: one.id, source: one.rule })), el("td", {}, one.why, one.to_do && one.state !== "met" ? el("div", { class: "help" }, one.to_do) : null)))))))] : el("p", { class: "help" }, "No assessment was recorded yet.")),
    el("section", { class: "card" }, el("h2", {}, "Signatures and decision"),
      signatures.length ? el("ul", {}, signatures.map((one) => el("li", {}, el("strong", {}, one.name), `, ${one.role}: `, el("span", { class: `tag ${one.agrees ? "good" : "bad"}` }, one.agrees ? "agrees" : "does not agree"), one.reason ? ` ${one.reason}` : "", ` (${day(one.on)})`))) : el("p", { class: "help" }, "Nobody has signed since the last assessment."),
      view.state.to_do?.length ? el("p", {}, `To do first: ${view.state.to_do.join("; ")}`) : null, acts(bench, view, "selection"))];
}

function procedure(bench, shared, view) {
  const now = view.state.implanted || view.stage === "trial succeeded" ? "implant" : "trial", body = el("div", {});
  const which = choice("Procedure", [{ value: "trial", label: "trial" }, { value: "implant", label: "implant" }], { value: now, onchange: () => paint() });
  const paint = () => {
    const stage = which.value, plan = view.state.plans?.[stage], checks = view.ready[stage], groups = [...new Set(checks.map((one) => one.group))];
    fill(body, plan ? facts(["Planned on", day(plan.on)], ["Cathode at", plan.planning?.target_level], ["Needle enters below", plan.planning?.entry_level], ["Side", plan.planning?.side], ["Leads", plan.planning?.leads], ["Anaesthesia", plan.anaesthesia && [plan.anaesthesia.kind, plan.anaesthesia.by].filter(Boolean).join(", ")], ["Drugs on clotting", plan.drugs && (plan.drugs.join(", ") || "none")]) : el("p", { class: "help" }, `The ${stage} procedure is not planned yet.`),
      groups.map((group) => el("details", { open: checks.some((one) => one.group === group && (one.state === "refused" || one.state === "missing")) }, el("summary", {}, PHASES[group] ?? pretty(group), " ", tally(checks.filter((one) => one.group === group))), el("ul", { class: "checks" }, checks.filter((one) => one.group === group).map((one) => el("li", {}, sign(one.state), el("span", {}, one.words, mark({ ...one, name: one.id }))))))));
  };
  paint();
  return [pending(bench, view), el("section", { class: "card" }, el("h2", {}, "Before the procedure"), acts(bench, view, "procedure"), which, body), clottingTable(bench, view)];
}

const PHASES = { "pre-op": "against infection, before the operation", "intra-op": "against infection, during the operation", "post-op": "against infection, after the operation", "follow-up": "against infection, later" };
const tally = (checks) => { const states = [...new Set(checks.map((one) => one.state))]; return states.map((state) => el("span", { class: "tally" }, sign(state), ` ${checks.filter((one) => one.state === state).length} `)); };

/** The clinic's table of drugs on clotting: locked until a clinician fills and signs a row. */
function clottingTable(bench, view) {
  const body = el("div", {}), where = el("div", {}), doctor = bench.me.person.role === "physician", taken = new Set([...(view.state.plans?.trial?.drugs ?? []), ...(view.state.plans?.implant?.drugs ?? [])]);
  let whole = false;
  const load = async () => { try { const { items } = await get("/anticoagulants"); paint(items); } catch (failure) { complain(where, failure); } };
  const paint = (items) => fill(body, wide("drugs on clotting", el("table", {}, el("thead", {}, el("tr", {}, ["Drug", "State", "Stop before", "Restart after", "Signed by", ""].map((one) => el("th", { scope: "col" }, one || el("span", { class: "sr" }, "what to do"))))),
    el("tbody", {}, items.filter((one) => whole || taken.has(one.drug) || one.row).sort((a, b) => taken.has(b.drug) - taken.has(a.drug) || (b.row !== null) - (a.row !== null)).map((one) => line(one))))),
    whole ? null : [items.some((one) => taken.has(one.drug) || one.row) ? null : el("p", {}, "No row was filled in yet, so every drug is locked."), el("button", { type: "button", onclick: () => { whole = true; paint(items); } }, `Show all ${items.length} drugs`)]);
  const line = (one) => {
    const open = one.state === "signed" || one.state === "valid";
    return el("tr", {}, el("td", {}, one.drug, el("div", { class: "help" }, one.about.kind, taken.has(one.drug) ? ", taken by this patient" : "")), el("td", {}, el("span", { class: `tag ${open ? "good" : "warn"}` }, open ? one.state : `locked: ${one.state}`)), el("td", {}, one.row?.stop_before ?? "–"), el("td", {}, one.row?.restart_after ?? "–"),
      el("td", {}, one.signature ? `${one.signature.name}, until ${day(one.signature.review_by)}` : "–"), el("td", {}, doctor ? el("button", { type: "button", "aria-label": `${one.row ? "change or sign" : "fill in"} ${one.drug}`, onclick: () => edit(one) }, one.row ? "Change or sign" : "Fill in") : null));
  };
  const edit = (one) => {
    const said = el("div", {}), row = one.row ?? {};
    const stop = text("Last dose before the procedure", { value: row.stop_before ?? "", help: "such as 12 h; 0 h if it goes on", required: true }), restart = text("Restart after the procedure", { value: row.restart_after ?? "", help: "such as 24 h", required: true }), source = text("Edition and page that were read", { value: row.source_read ?? "", required: true }),
      tests = text("Tests before, and what they must show", { value: row.tests ?? "" }), conditions = text("When the row does not hold", { value: row.conditions ?? "" }), profession = text("Your profession", { value: bench.me.person.role }), registration = text("Your registration"), review = text("Review by", { type: "date" });
    const box = el("dialog", { "aria-labelledby": "row-title" }, el("h2", { id: "row-title" }, one.drug), el("p", {}, "Guideline: ", one.about.guideline, one.about.note ? `. ${one.about.note}` : "", ". Times are not shipped: read the guideline, fill the row, sign it."), el("div", { class: "form-grid" }, stop, restart, source, tests, conditions),
      el("div", { class: "row" }, button("Keep the row", async () => { await put(`/anticoagulants/${encodeURIComponent(one.drug)}`, { stop_before: stop.value, restart_after: restart.value, source_read: source.value, tests: tests.value, conditions: conditions.value }); box.close(); await load(); }, { where: said, kind: one.row ? "" : "main" })),
      one.row ? [el("h3", {}, "Sign the row as it stands"), el("div", { class: "form-grid" }, profession, registration, review), el("div", { class: "row" }, button("Sign", async () => { await post(`/anticoagulants/${encodeURIComponent(one.drug)}/sign`, { row: one.key, profession: profession.value, registration: registration.value, review_by: review.value }); box.close(); await load(); }, { where: said, kind: "main" }))] : null,
      said, el("button", { type: "button", class: "quiet", onclick: () => box.close() }, "Close"));
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  };
  load();
  return el("section", { class: "card" }, el("h2", {}, "Drugs on clotting: the clinic's own table"), el("p", { class: "help" }, "Every row is locked until a clinician has read the guideline, filled it in and signed it. Without a valid signature no date is computed."), body, where);
}

function trial(bench, shared, view) {
  const { trial: stage } = view.state;
  return [pending(bench, view), el("section", { class: "card" }, el("h2", {}, "Leads"), leads(view), acts(bench, view, "", ["lead.implanted", "lead.moved"])),
    el("section", { class: "card" }, el("h2", {}, "Diary and programs"), stage ? [el("p", { class: "help" }, `Begun ${day(stage.begun)}, ${num(stage.days, "days")} planned${stage.ended ? `, ended ${day(stage.ended)}` : ""}.`), diaryChart(view)] : el("p", { class: "help" }, "The trial has not begun."), acts(bench, view, "trial")),
    stage ? verdictCard(view) : null,
    el("section", { class: "card" }, el("h2", {}, "Programming log"), programs(bench, shared, view))];
}

/** What the diary says against the rule, and how little such a verdict knows. */
function verdictCard(view) {
  const told = view.verdict, stage = view.state.trial;
  const words = told.passed === null ? ["warn", "cannot be judged yet"] : told.passed ? ["good", "meets the rule"] : ["bad", "does not meet the rule"];
  return el("section", { class: "card", "aria-labelledby": "verdict" }, el("div", { class: "spread" }, el("h2", { id: "verdict" }, "Verdict by the rule"), el("span", { class: `tag ${words[0]}` }, words[1])),
    el("div", { class: "beside" }, el("div", {}, el("span", { class: "big" }, percent(told.calculated_relief)), el("span", { class: "help" }, "relief calculated from the diary")), el("div", {}, el("span", { class: "big" }, percent(told.reported_relief)), el("span", { class: "help" }, "relief reported by the patient"))),
    el("p", {}, told.agreement), el("ul", { class: "checks" }, told.lines.map((one) => el("li", {}, sign(one.state), el("span", {}, one.words, mark({ ...one, name: one.quantity }))))),
    el("p", { class: "help" }, `Rule in force: ${told.rule}; ${told.kept}.`),
    el("div", { class: "notice warn" }, el("strong", {}, "What such a verdict is worth: "), told.caveat.words, el("div", { class: "help" }, told.caveat.source)),
    stage.succeeded === undefined || stage.succeeded === null ? null : el("p", {}, "Decided: ", el("strong", {}, stage.succeeded ? "the trial succeeded" : "the trial did not succeed"), stage.rule_says !== null && stage.rule_says !== undefined && stage.rule_says !== stage.succeeded ? "; the rule says otherwise, the reason stands in the timeline" : ""));
}

function leads(view) {
  const all = Object.entries(view.state.leads ?? {});
  return all.length ? wide("leads", el("table", {}, el("thead", {}, el("tr", {}, ["Lead", "Model", "Tip at", "Side", "Serial number", "Lot", "Placed", ...(all.some(([, one]) => one.out) ? ["Removed"] : [])].map((one) => el("th", { scope: "col" }, one)))), el("tbody", {}, all.map(([name, one]) => el("tr", {}, el("td", {}, name, " ", el("span", { class: "help" }, one.stage)), el("td", {}, [one.manufacturer, one.model].filter(Boolean).join(" ")), el("td", {}, one.level), el("td", {}, one.side ?? "midline"), el("td", {}, one.serial || "–"), el("td", {}, one.lot || "–"), el("td", {}, day(one.on)), all.some(([, other]) => other.out) ? el("td", {}, one.out ? day(one.out) : "–") : null))))) : el("p", { class: "help" }, "No lead is on record.");
}

const QUANTITIES = { perception_mA: "first felt at", discomfort_mA: "uncomfortable at", amplitude_mA: "amplitude", covered: "share of the pain covered", relief_1: "relief after 1 month", relief_3: "relief after 3 months", relief_12: "relief after 12 months" };

function programs(bench, shared, view) {
  if (!view.programs.length) return el("p", { class: "help" }, "No program was set yet.");
  return [...view.programs].reverse().map((one) => {
    const here = !one.last && view.state.programs?.[one.slot]?.version === one.version, told = here ? view.compared[one.slot] : null, where = el("div", {});
    return el("article", { class: "program" }, el("div", { class: "spread" }, el("h3", {}, `Program ${one.slot}`, here ? el("span", { class: "tag good" }, "in force") : null), el("span", { class: "help" }, `${day(one.first)} ${one.last ? `to ${day(one.last)}` : "until now"}`)),
      el("p", {}, one.words), facts(["First felt at", num(one.perception_mA, "mA")], ["Uncomfortable at", num(one.discomfort_mA, "mA")], ["Left at", num(one.set_mA, "mA")], ["Tingles in", one.covered.map((id) => areaName(shared.drawing, id)).join(", ")]),
      told ? compared(told) : null,
      here && bench.draft ? el("div", { class: "row noprint" }, simulation(bench, view, one.slot, where), button("Open in the workbench", async () => {
        const draft = await get(`/patients/${view.id}/case?slot=${encodeURIComponent(one.slot)}`);
        bench.draft.open(draft.case, view.id);
        bench.say(el("span", {}, `Program ${one.slot} is open. Assumed, because the record does not say: `, draft.assumed.join("; ")), "", 20);
        bench.go("#/program");
      }, { where })) : null, where);
  });
}

/** A run of the program as it is set, whose prediction is kept beside what was felt. */
function simulation(bench, view, slot, where) {
  return button(view.compared[slot]?.current ? "Simulate again" : "Simulate it", async () => {
    const stop = new AbortController(), bar = el("progress", { max: 1, value: 0, "aria-label": "simulation" }), words = el("span", { role: "status" }, "waiting");
    fill(where, el("div", { class: "notice" }, words, bar, el("button", { type: "button", onclick: () => stop.abort() }, "Cancel")));
    try {
      await work(`/patients/${view.id}/simulation`, { slot }, { signal: stop.signal, progress: (text, share) => { fill(words, text); bar.value = share ?? 0; } });
      bench.say("The prediction stands beside what was felt.", "good");
      await bench.refresh();
    } finally { fill(where); }
  });
}

function compared(told) {
  return el("details", { open: true }, el("summary", {}, `Observed beside simulated (${day(told.linked)}${told.current ? "" : ", of an earlier program"})`), wide("observed beside simulated", el("table", {}, el("thead", {}, el("tr", {}, ["Quantity", "Observed", "Simulated", "Apart by", ""].map((one) => el("th", { scope: "col" }, one || el("span", { class: "sr" }, "remark"))))),
    el("tbody", {}, told.lines.map((one) => { const share = one.unit === "1", show = (v) => num(v, share ? "%" : one.unit, share ? 100 : 1); return el("tr", {}, el("td", {}, QUANTITIES[one.quantity] ?? pretty(one.quantity)), el("td", {}, show(one.observed)), el("td", {}, show(one.predicted), one.low !== null && one.high !== null ? el("div", { class: "help" }, `${show(one.low)} to ${show(one.high)}`) : null), el("td", {}, one.difference === null ? "–" : show(one.difference)), el("td", { class: "help" }, one.words)); })))),
    told.assumed.length ? el("p", { class: "help" }, `The simulation assumed: ${told.assumed.join("; ")}.`) : null);
}

function implant(bench, shared, view) {
  const { generator } = view.state, recalls = Object.values(view.state.recalls ?? {});
  return [pending(bench, view), el("section", { class: "card" }, el("h2", {}, "Generator"), generator ? facts(["Model", [generator.manufacturer, generator.model].filter(Boolean).join(" ")], ["Serial number", generator.serial], ["Lot", generator.lot], ["UDI", generator.udi], ["Site", [pretty(generator.site), generator.side].filter(Boolean).join(", ")], ["Rechargeable", generator.rechargeable === true ? "yes" : generator.rechargeable === false ? "no" : ""], ["Placed", day(generator.on)], ["Stay", generator.stay], ["Removed", generator.out ? day(generator.out) : ""], ["Generators so far", view.state.generators > 1 ? view.state.generators : ""], ["Went home", view.state.discharged ? day(view.state.discharged) : ""]) : el("p", { class: "help" }, "No generator is on record."), acts(bench, view, "implant")),
    el("section", { class: "card" }, el("h2", {}, "Leads"), leads(view)),
    recalls.length ? el("section", { class: "card" }, el("h2", {}, "Safety notices"), el("ul", {}, recalls.map((one) => el("li", {}, el("strong", {}, one.notice), `: ${one.part}, `, el("span", { class: `tag ${one.state === "affected" ? "bad" : "good"}` }, one.state), ` (${day(one.on)})`)))) : null];
}

/** Loss of effect, said where it cannot be overlooked. */
function alarm(view) {
  const told = view.alert;
  if (!told || (told.state !== "lost" && told.state !== "watch")) return null;
  return el("div", { class: `notice ${told.state === "lost" ? "bad" : "warn"}`, role: "status" }, el("strong", {}, told.state === "lost" ? "Loss of effect: " : "Relief is low: "), told.words, mark({ ...told, name: told.rule }), " ", told.state === "lost" ? el("a", { href: to(view, "followup") }, "go through the checklist") : null);
}

function followup(bench, shared, view) {
  const baseline = view.state.trial?.baseline_nrs ?? view.state.referral_nrs, { trends } = view, kinds = [...new Set(view.scores.map((one) => one.instrument))];
  const charts = [trends.nrs?.length ? trend("Average pain", trends.nrs, { unit: "of 10", range: [0, 10], better: "less is better", marks: [{ value: baseline, words: "before" }] }) : null, trends["relief calculated"]?.length ? trend("Relief, calculated", trends["relief calculated"], { unit: "%", scale: 100, range: [0, 1], better: "more is better" }) : null, trends.relief?.length ? trend("Relief, reported", trends.relief, { unit: "%", scale: 100, range: [0, 1], better: "more is better" }) : null,
    trends.eq5d?.length ? trend("EQ-5D index", trends.eq5d, { range: [0, 1], better: "more is better" }) : null,
    ...kinds.filter((kind) => kind !== "eq-5d-5l" && trends[kind]?.length).map((kind) => { const value = view.scores.findLast((one) => one.instrument === kind).values[0]; return trend(view.scores.find((one) => one.instrument === kind).title, trends[kind], { unit: value.unit === "1" ? "" : value.unit, range: [value.low, value.high], better: value.better === "lower" ? "less is better" : value.better === "higher" ? "more is better" : "" }); })].filter(Boolean);
  return [pending(bench, view), alarm(view), el("section", { class: "card" }, el("h2", {}, "Visits"), acts(bench, view, "followup", ["visit.recorded", "instrument.answered"]),
    view.visits.length ? wide("visits", el("table", {}, el("thead", {}, el("tr", {}, ["Visit", "State", "From", "Until", "Done"].map((one) => el("th", { scope: "col" }, one)))), el("tbody", {}, view.visits.map((one) => el("tr", {}, el("td", {}, one.name), el("td", {}, sign(one.state)), el("td", {}, day(one.opens)), el("td", {}, day(one.closes)), el("td", {}, one.done ? day(one.done) : "–")))))) : el("p", { class: "help" }, "Routine visits are counted from the implant.")),
    charts.length ? el("section", { class: "card" }, el("h2", {}, "Trends"), el("div", { class: "trends" }, charts)) : null,
    view.scores.length ? el("section", { class: "card" }, el("h2", {}, "Questionnaires"), wide("questionnaires", el("table", {}, el("thead", {}, el("tr", {}, ["Day", "Questionnaire", "When", "Score", "Remarks"].map((one) => el("th", { scope: "col" }, one)))), el("tbody", {}, [...view.scores].reverse().map((one) => el("tr", {}, el("td", {}, day(one.on)), el("td", {}, one.title), el("td", {}, one.moment), el("td", {}, one.values.map((value) => el("div", {}, `${value.name}: ${num(value.number, value.unit === "1" ? "" : value.unit)} `, el("span", { class: "help" }, `of ${num(value.low)} to ${num(value.high)}`), value.band ? [" ", value.band.label, mark({ ...value.band, name: value.band.label })] : null))), el("td", {}, one.alerts.map((alert) => el("div", { class: "tag bad" }, alert)), one.missing.length ? `not answered: ${one.missing.join(", ")}` : "", one.notes.map((note) => el("div", { class: "help" }, note)))))))) ) : null,
    view.state.implanted ? el("section", { class: "card" }, el("h2", {}, "Before an explant for loss of effect"), view.alert ? el("p", {}, `Now: ${view.alert.words}.`, mark({ ...view.alert, name: view.alert.rule })) : null, el("ul", { class: "checks" }, view.salvage.map((one) => el("li", {}, one.done ? el("span", { class: "tag good" }, one.done.state) : el("span", { class: "tag" }, "open"), el("span", {}, el("strong", {}, one.name), `: ${one.what}`, mark({ ...one, name: one.name }), one.done ? el("div", { class: "help" }, `${day(one.done.on)}, ${one.done.by}: ${one.done.result}`) : null)))), acts(bench, view, "followup", ["salvage.tried"])) : null];
}

function complications(bench, shared, view) {
  return [pending(bench, view), el("section", { class: "card" }, el("h2", {}, "Complications"), acts(bench, view, "complications"), view.complications.length ? null : el("p", { class: "help" }, "None is on record.")),
    view.complications.map((one) => { const it = one.complication; return el("section", { class: "card" }, el("div", { class: "spread" }, el("h2", {}, one.name), el("span", { class: `tag ${one.serious ? "bad" : one.serious === false ? "" : "warn"}` }, one.serious === null ? "not assessed whether serious" : one.serious ? "serious" : "not serious")),
      facts(["What", [pretty(it.kind), it.subkind].filter(Boolean).join(", ")], ["In words", it.description], ["Stage", it.stage], ["Began", day(it.onset)], ["How strong", it.severity], ["Outcome", it.outcome], ["Ended", it.ended ? day(it.ended) : ""], ["Classified as", one.classification]),
      it.actions?.length ? [el("h3", {}, "Done"), el("ul", {}, it.actions.map((each) => el("li", {}, `${day(each.on)}: ${each.what}`)))] : null, one.open.length ? el("p", {}, el("span", { class: "tag warn" }, "open"), ` ${one.open.join(", ")}`) : null,
      one.usual_actions.filter(Boolean).length ? el("details", {}, el("summary", {}, "What is usually done"), el("ul", {}, one.usual_actions.filter(Boolean).map((each) => el("li", {}, each)))) : null); })];
}

function explant(bench, shared, view) {
  const done = view.state.explant, lost = view.next.find((one) => one.kind === "system.explanted");
  return [pending(bench, view), el("section", { class: "card" }, el("h2", {}, "Explant"), done ? facts(["Taken out", day(done.on)], ["Reason", done.reason], ["After", done.after === "implant" ? "the implant" : "the trial"]) : el("p", { class: "help" }, "The system is not taken out. An explant closes the system's life, not the patient's record."),
    lost?.missing.length ? missing(view, lost.missing, "Before an explant for loss of effect; an infection does not wait for this") : null, acts(bench, view, "explant"))];
}

export { timeline, leads, facts };
