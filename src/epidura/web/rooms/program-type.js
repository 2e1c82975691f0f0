// The type of stimulation with its settings, more trains, and what else a program says.

import { el, fill } from "../lib/dom.js";
import { button, check, field, number, select } from "../lib/fields.js";
import { mark } from "../lib/marks.js";

const split = (text) => { const found = /^\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(.*)$/i.exec(String(text ?? "")); return found ? [Number(found[1]), found[2].replace("µ", "u").replace("Ω", "ohm")] : [NaN, ""]; };
const shown = (unit) => unit.replace(/^u/, "µ");
const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

export function kind(room) {
  const body = el("div", {}), problem = el("div", {}), more = el("div", {});
  const details = el("details", {}, el("summary", {}, "Trains, sources, turns, ramp, limits"), more);
  const node = el("section", { class: "card", "aria-labelledby": "kind" }, el("h2", { id: "kind" }, "Type of stimulation"), body, problem, details);
  let drawn = "";

  function draw() {
    const train = room.train(), program = room.one(), key = JSON.stringify([room.state.index, room.state.train, train.waveform, program.interleaved?.length, program.sources, program.cycle, program.ramp_up, program.most, room.draft.case.fibres]);
    if (key === drawn) return;
    drawn = key;
    const active = document.activeElement?.dataset?.setting, type = room.types.find((each) => each.kind === train.waveform.kind);
    const set = (name, value) => room.attempt((own) => { if (value === null) delete own.waveform[name]; else own.waveform[name] = value; }, words(name), problem).then((taken) => { if (!taken) { drawn = ""; draw(); } });
    const choose = select("Type", room.types.map((each) => ({ value: each.kind, label: `${each.title}${each.felt ? "" : " · not felt"}` })), { value: train.waveform.kind,
      onchange: () => { const to = room.types.find((each) => each.kind === choose.value); room.attempt((own) => { own.waveform = { kind: to.kind, ...to.start }; own.amplitude = "auto"; }, to.title, problem).then((taken) => { if (!taken) choose.value = train.waveform.kind; }); } });
    const use = type.clinical;
    fill(body, choose, el("p", { class: "help" }, type.what, type.felt ? " Felt as tingling." : " Meant to stay below perception."),
      el("div", { class: "settings" }, type.settings.map((each) => setting(each, train.waveform[each.name], (value) => set(each.name, value)))),
      use.type ? el("p", { class: "help" }, `As used: ${[use.frequency_hz && `${use.frequency_hz} Hz`, use.pulse_width_us && `${use.pulse_width_us} µs`, use.amplitude_mA && (/\d/.test(use.amplitude_mA) ? `${use.amplitude_mA} mA` : use.amplitude_mA), use.amplitude_rule, use.recharge_cycling].filter(Boolean).join("; ")}.`, mark({ evidence: type.evidence, name: use.type, source: use.source, note: use.note }))
        : el("p", { class: "help" }, "No clinical use of it is in our tables; the settings are a start of this project.", mark({ evidence: "judgement", name: type.title })));
    if (active) node.querySelector(`[data-setting="${active}"]`)?.focus();
    extras(program);
  }

  function setting(each, value, set) {
    let control;
    if (each.choices) {
      control = el("select", { "data-setting": each.name, onchange: () => set(control.value) }, each.choices.map((one) => el("option", { value: one, selected: one === value }, one)));
      return field(words(each.name), control, { help: each.help, wide: true });
    }
    if (each.quantity) return quantity(words(each.name), value, each.units, (text) => set(text), { help: each.help, required: each.default !== null, name: each.name });
    if (each.type === "array") {
      control = el("input", { "data-setting": each.name, value: (value ?? []).join(", "), onchange: () => set(control.value.split(",").map((one) => one.trim()).filter(Boolean).map((one) => (/[a-z]/i.test(one) ? one : Number(one)))) });
      return field(words(each.name), control, { help: each.help, wide: true });
    }
    control = el("input", { type: "number", "data-setting": each.name, value: value ?? "", min: each.least, max: each.most, step: each.type === "integer" ? 1 : "any", onchange: () => { if (control.value !== "") set(control.valueAsNumber); } });
    return field(words(each.name), control, { help: each.help });
  }

  /** A number with a choice of units; an empty one is null. */
  function quantity(label, value, units, set, { help = "", required = true, name = "" } = {}) {
    const [size, unit] = split(value), input = el("input", { type: "number", step: "any", value: Number.isNaN(size) ? "" : size, "data-setting": name });
    const pick = el("select", { "aria-label": `unit of ${label}` }, units.map((one) => el("option", { value: one, selected: one === (size === 0 ? units[0] : unit) }, shown(one))));
    const send = () => { if (input.value === "") { if (!required) set(null); } else set(`${input.valueAsNumber} ${pick.value}`); };
    input.addEventListener("change", send);
    // another unit means another number of the same quantity: it is sent when a number is entered
    pick.addEventListener("change", () => input.select());
    const node_ = field(label, input, { help });
    input.after(pick);
    node_.querySelector(".control").classList.add("pair");
    return node_;
  }

  function extras(program) {
    const put = (fn, why) => room.attempt(fn, why, problem);
    const count = room.trains().length, cycle = program.cycle, fibres = room.draft.case.fibres;
    const several = el("div", { class: "row" }, el("span", {}, count === 1 ? "One train of pulses." : `${count} trains run together; their pulses never overlap.`),
      button("Add a train", () => put((train, own) => { own.interleaved = [...(own.interleaved ?? []), { waveform: structuredClone(train.waveform), contacts: { ...train.contacts }, amplitude: "auto" }]; }, "add a train").then((taken) => { if (taken) room.turn(count); })),
      count > 1 && button(`Remove train ${room.state.train + 1}`, () => { const at = room.state.train; put((train, own) => { if (at === 0) Object.assign(own, own.interleaved.shift()); else own.interleaved.splice(at - 1, 1); }, "remove a train"); }));
    const sources = select("Sources", [{ value: "independent", label: "one for each contact" }, { value: "single", label: "one for all: the tissue splits the current" }], { value: program.sources ?? "independent", onchange: () => put((train, own) => { own.sources = sources.value; }, "sources").then((taken) => { if (!taken) sources.value = room.one().sources ?? "independent"; }) });
    const turns = check("On and off in turns", { checked: Boolean(cycle), onchange: () => put((train, own) => { own.cycle = turns.value ? { on: "30 s", off: "90 s" } : null; }, "turns") });
    const time = (label, value, set) => quantity(label, value, ["s", "ms", "us"], set, { required: true });
    const simulated = number("Simulated fibres of the dorsal columns", { value: fibres.find((each) => each.kind === "dorsal-column")?.count ?? "", min: 48, max: 4000, step: 1, help: "More resolve a threshold better and take longer.",
      onchange: () => { const to = simulated.number; if (to) put((train, own, copy) => { for (const each of copy.fibres) if (each.kind === "dorsal-column") each.count = Math.round(to); }, "simulated fibres"); } });
    fill(more, several, sources, turns, cycle && el("div", { class: "settings" }, time("On", cycle.on, (text) => put((train, own) => { own.cycle.on = text; }, "time on")), time("Off", cycle.off, (text) => put((train, own) => { own.cycle.off = text; }, "time off"))),
      el("div", { class: "settings" }, time("Ramp up", program.ramp_up ?? "0 s", (text) => put((train, own) => { own.ramp_up = text; }, "ramp")),
        quantity("Most the patient can set", program.most, ["mA", "uA"], (text) => put((train, own) => { own.most = text; }, "most"), { required: false })),
      fibres.some((each) => each.kind === "dorsal-column") && simulated);
  }

  return { node, draw };
}
