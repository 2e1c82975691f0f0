// One page about a patient, to print or to keep as PDF through the browser's print.

import { day, el, num } from "../lib/dom.js";
import { pretty } from "../lib/form.js";
import { diaryChart } from "./pathway-charts.js";
import { facts, leads } from "./pathway-patient.js";
import { areaName } from "./pathway-widgets.js";

const percent = (value) => num(value, "%", 100, 3);
const some = (all, most, words) => (all.length > most ? [...all.slice(0, most), el("li", { class: "help" }, `and ${all.length - most} ${words}; the whole record has them`)] : all);

export function summary(bench, shared, view) {
  const { state, identity, verdict } = view, { trial, generator, explant } = state;
  const now = view.programs.filter((one) => !one.last), allergies = Object.entries((state.plans?.implant ?? state.plans?.trial)?.allergies?.answers ?? {}).filter(([, answer]) => answer === "yes").map(([name]) => name);
  const drugs = (state.plans?.implant ?? state.plans?.trial)?.drugs, due = explant ? [] : view.visits.filter((one) => one.state !== "done").slice(0, 3), visits = Object.entries(state.visits ?? {}).flatMap(([visit, all]) => all.map((one) => ({ visit, ...one }))).sort((a, b) => (a.on < b.on ? 1 : -1));
  return el("article", { class: "summary" },
    el("div", { class: "row noprint" }, el("button", { type: "button", class: "main", onclick: () => print() }, "Print, or keep as PDF"), el("a", { class: "button", href: `#/pathway/${view.id}` }, "Back to the record")),
    el("div", { class: "sheet-page" },
      el("header", { class: "spread" }, el("div", {}, el("h1", {}, view.name || view.pseudonym), el("p", {}, [view.name ? view.pseudonym : "", identity && `born ${day(identity.birth_date)}`, state.sex, ...Object.entries(identity?.identifiers ?? {}).map(([who, number]) => `${who} ${number}`)].filter(Boolean).join(" · "))), el("p", { class: "help" }, `as of ${day(view.today)}`)),
      el("ol", { class: "steps", "aria-label": "stage of the pathway" }, view.steps.filter((one) => one.state !== "passed over").map((one) => el("li", { class: one.state }, el("span", { class: "step-name" }, one.stage && one.stage !== one.name && ["trial succeeded", "trial failed", "not suitable", "optimise first", "revised"].includes(one.stage) ? one.stage : one.name), el("span", { class: "help" }, one.on ? day(one.on) : "")))),
      el("div", { class: "columns" },
        el("section", {}, el("h2", {}, "Indication and pain"), facts(["Indication", state.indication && pretty(state.indication)], ["Where", (state.pain_areas ?? []).map((id) => areaName(shared.drawing, id)).join(", ")], ["Pain at referral", num(state.referral_nrs, "of 10")], ["Allergies", allergies.join(", ") || (state.plans ? "none known" : "")], ["Drugs on clotting", drugs && (drugs.join(", ") || "none")])),
        el("section", {}, el("h2", {}, "Trial"), trial ? facts(["When", `${day(trial.begun)} ${trial.ended ? `to ${day(trial.ended)}` : "until now"}`], ["Pain before", num(trial.baseline_nrs, "of 10")], ["Relief calculated", percent(verdict.calculated_relief)], ["Relief reported", percent(verdict.reported_relief)], [`Rule ${verdict.rule}`, verdict.passed === null ? "cannot be judged" : verdict.passed ? "met" : "not met"], ["Decision", trial.succeeded === undefined ? "open" : trial.succeeded ? "succeeded" : "did not succeed"]) : el("p", { class: "help" }, "not begun"))),
      trial ? [el("div", { class: "summary-chart" }, diaryChart(view)), el("p", { class: "help small-words" }, verdict.caveat.words)] : null,
      el("section", {}, el("h2", {}, "Implants"), leads(view), generator ? el("p", {}, el("strong", {}, "Generator: "), [[generator.manufacturer, generator.model].filter(Boolean).join(" "), generator.serial && `serial number ${generator.serial}`, generator.lot && `lot ${generator.lot}`, pretty(generator.site), generator.side, `placed ${day(generator.on)}`, generator.out && `removed ${day(generator.out)}`].filter(Boolean).join(", ")) : null),
      el("div", { class: "columns" },
        el("section", {}, el("h2", {}, "Program in force"), now.length ? el("ul", {}, some(now.map((one) => el("li", {}, el("strong", {}, one.slot), `: ${one.words}`, one.set_mA !== null && one.set_mA !== undefined ? `, left at ${num(one.set_mA, "mA")}` : "")), 3, "more")) : el("p", { class: "help" }, "none")),
        el("section", {}, el("h2", {}, "Visits"), el("ul", {}, some(visits.map((one) => el("li", {}, `${day(one.on)}: ${pretty(one.visit)}`, one.nrs !== null && one.nrs !== undefined ? `, pain ${one.nrs} of 10` : "")), 4, "earlier ones")), due.length ? el("p", {}, "Next: ", due.map((one) => `${one.name} (${one.state}, ${day(one.opens)} to ${day(one.closes)})`).join("; ")) : null)),
      el("section", {}, el("h2", {}, "Complications"), view.complications.length ? el("ul", {}, some(view.complications.map((one) => el("li", {}, el("strong", {}, one.name), `: ${pretty(one.complication.kind)}${one.complication.subkind ? `, ${one.complication.subkind}` : ""}, ${day(one.complication.onset)}, ${one.classification}, outcome ${one.complication.outcome ?? "unknown"}`)), 4, "more")) : el("p", { class: "help" }, "none on record")),
      explant ? el("section", {}, el("h2", {}, "Explant"), el("p", {}, `${day(explant.on)}, ${explant.reason}`)) : null));
}
