// A program at the electrodes: charge, voltage, power and battery beside named limits, and what a generator says to it.

import { el, fill, num, svg } from "../lib/dom.js";
import { button, complain, select } from "../lib/fields.js";
import { mark } from "../lib/marks.js";
import { COLOURS, DASHES } from "../lib/charts.js";

const STROKE = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4", longdashdot: "11 3 2 3" };
const pair = (found, unit, scale = 1) => (found === null || found === undefined ? "not known" : Math.abs(found[0] - found[1]) < 1e-9 * Math.abs(found[1]) ? num(found[0], unit, scale) : `${num(found[0], "", scale)} to ${num(found[1], unit, scale)}`);

export function electrodes(room) {
  const body = el("div", {}), problem = el("div", {}), said = el("div", {});
  const pick = select("Generator", [{ value: "", label: "any: no limits" }, ...room.generators.map((each) => ({ value: each.model, label: `${each.manufacturer} ${each.model}${each.battery ? `, ${each.battery}` : ""}` }))], {
    onchange: () => room.attempt((train, own, copy) => { if (pick.value) copy.generator = pick.value; else delete copy.generator; }, "generator", problem).then((taken) => { if (!taken) pick.value = room.draft.case.generator ?? ""; }) });
  const node = el("section", { class: "card", "aria-labelledby": "electrodes" }, el("h2", { id: "electrodes" }, "At the electrodes"), pick, problem, said, body);

  function draw(found) {
    pick.value = room.draft.case.generator ?? "";
    fill(problem);
    if (!found) { fill(said); fill(body, el("p", { class: "help" }, "Figures appear once an amplitude is known.")); return; }
    const limits = (quantity) => found.limits.filter((each) => each.quantity === quantity);
    const beside = (quantity) => limits(quantity).map((each) => el("li", {}, each.above ? el("span", { class: "tag warn" }, "above") : "below ", each.above ? " " : "", `${num(each.limit, plain(each.unit))}: ${each.name}`, mark({ evidence: each.unverified ? "recall" : "read", name: each.name, source: each.source, note: each.note })));
    const fact = (name, value, quantity) => [el("dt", {}, name), el("dd", {}, value, quantity && limits(quantity).length ? el("details", {}, el("summary", {}, limits(quantity).some((each) => each.above) ? "above a named limit" : "beside named limits"), el("ul", {}, beside(quantity))) : null)];
    const limit = found.voltage_limit, power = found.power;
    fill(said, found.violations.length ? el("div", { class: "notice warn", role: "status" }, el("strong", {}, `${room.draft.case.generator} cannot deliver this:`),
      el("ul", {}, found.violations.map((each) => el("li", {}, `${each.quantity} ${each.got}; allowed ${each.allowed}`, mark({ evidence: each.unverified ? "recall" : "read", name: each.quantity, source: each.source }), el("span", { class: "help" }, ` ${each.unverified ? "" : each.source}`)))),
      found.nearest?.program ? el("div", { class: "nearest" }, el("div", {}, "The nearest that it can:"), el("ul", {}, found.nearest.words.map((each) => el("li", {}, each))), button("Use the nearest", () => room.attempt((train, own) => { Object.assign(own, found.nearest.program); }, "nearest program", problem)))
        : el("div", {}, "There is no program near to this one that it can.", found.nearest?.words.length ? ` ${found.nearest.words[0]}` : "")) : null);
    fill(body, el("dl", { class: "facts" },
      fact("Charge of a phase", num(found.charge_per_phase_uC, "µC")),
      fact("Charge density", num(found.charge_density_uC_cm2, "µC/cm²"), "charge density of a phase"),
      fact("Shannon k", [num(found.shannon_k, ""), el("span", { class: "help" }, " a number, not a verdict")], "k of Shannon"),
      fact("Voltage needed", found.balanced ? [num(found.voltage_needed_V, "V"), limit && el("span", { class: limit.above ? "tag warn" : "help" }, ` ${limit.above ? "above what it has: " : ""}${limit.words}`), limit && mark({ evidence: limit.unverified ? "recall" : "read", name: "compliance", source: limit.source })] : "grows: charge does not come back", "voltage needed"),
      fact("Resistance", num(found.resistance_ohm, "Ω"), "resistance between the sides of the program"),
      fact("Power into tissue", num(found.mean_power_uW, "µW")),
      power && [fact("From the cell", pair(power.total_uW, "µW")),
        power.life_years ? fact("Battery lasts", [pair(power.life_years, "years"), mark(found.evidence)]) : power.recharge_days ? fact("Recharge every", [pair(power.recharge_days, "days"), mark(found.evidence)]) : fact("Battery", found.battery === "external" ? "power comes from outside" : "not known: neither capacity nor a full statement")],
      !power && found.balanced && fact("Battery", "choose a generator to see how long it lasts")),
    power && el("details", {}, el("summary", {}, "What the battery figure assumes"), el("ul", {}, power.words.map((each) => el("li", {}, each)))),
    wave(found.wave),
    el("details", {}, el("summary", {}, "Contact by contact"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "figures of each contact" }, el("table", {}, el("thead", {}, el("tr", {}, ["contact", "mA", "µC a phase", "µC/cm²", "µA direct"].map((each) => el("th", { class: "n" }, each)))),
      el("tbody", {}, found.contacts.map((each) => el("tr", {}, [each.contact, `${num(each.cathodic_mA)} to ${num(each.anodic_mA)}`, num(each.charge_per_phase_uC), num(each.charge_density_uC_cm2), num(each.direct_current_uA)].map((value) => el("td", { class: "n" }, value)))))))),
    el("p", { class: "help" }, found.schedule.join("; ").replaceAll(" us", " µs"), found.unknown.length ? `. Nothing was found about: ${found.unknown.join(", ")}; these limits are not held against it.` : ""));
  }

  const plain = (unit) => unit.replace("uC", "µC").replace("cm2", "cm²").replace("ohm", "Ω").replace("uA", "µA");

  function wave({ end_us: end, lines }) {
    const wide = 420, tall = 150, left = 44, bottom = 128, most = Math.max(...lines.flatMap((line) => line.mA.map(Math.abs)), 1e-9);
    const x = (time) => left + ((wide - left - 8) * time) / end, y = (value) => 70 - (54 * value) / most;
    return el("figure", { style: { margin: "0.6rem 0 0" } }, el("figcaption", { class: "help" }, "Current into tissue, first pulse"),
      svg("svg", { class: "waveform", viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": `first pulse: ${lines.map((line) => `${line.contact === "case" ? "case" : `contact ${line.contact}`} from ${num(Math.min(...line.mA), "mA")} to ${num(Math.max(...line.mA), "mA")}`).join("; ")}, over ${num(end, "µs")}` },
        svg("line", { class: "zero", x1: left, x2: wide - 8, y1: y(0), y2: y(0) }),
        [most, 0, -most].map((value) => svg("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, num(value, "", 1, 2))), svg("text", { x: 2, y: 12 }, "mA"),
        svg("text", { x: left, y: bottom + 16 }, "0"), svg("text", { x: wide - 8, y: bottom + 16, "text-anchor": "end" }, end > 2000 ? num(end, "ms", 1e-3) : num(end, "µs")),
        lines.map((line, k) => svg("polyline", { class: "line", points: line.us.map((time, i) => `${x(time).toFixed(1)},${y(line.mA[i]).toFixed(1)}`).join(" "), stroke: COLOURS[k % COLOURS.length], "stroke-dasharray": STROKE[DASHES[k % DASHES.length]] }))),
      el("div", { class: "keys" }, lines.map((line, k) => el("span", {}, svg("svg", { width: 26, height: 8, "aria-hidden": "true" }, svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: COLOURS[k % COLOURS.length], "stroke-width": 2.5, "stroke-dasharray": STROKE[DASHES[k % DASHES.length]] })), ` ${line.contact === "case" ? "case" : `contact ${line.contact}`}`))));
  }

  return { node, draw, wrong: (failure) => complain(problem, failure) };
}
