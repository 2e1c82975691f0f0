// Types that are not felt: what the pain gate does instead, a quick look.

import { work } from "../lib/api.js";
import { el, fill, num } from "../lib/dom.js";
import { button } from "../lib/fields.js";
import { mark } from "../lib/marks.js";

export function gate(room) {
  const body = el("div", {}), problem = el("div", {});
  const node = el("section", { class: "card", "aria-labelledby": "gate", hidden: true }, el("h2", { id: "gate" }, "What the gate does instead"), body, problem);
  const found = new Map();
  let running = null, shown = "";

  const key = () => JSON.stringify([{ ...room.one(), amplitude: null, name: null }, room.draft.case.leads, room.draft.case.anatomy, room.draft.case.patient]);

  function draw() {
    const answer = room.state.answer, silent = answer && answer.trains.every((train) => !train.paraesthesia);
    node.hidden = !silent;
    if (!silent) { running?.abort(); return; }
    if (running) return;
    const levels = room.state.levels, known = levels.every((level) => level !== null), told = found.get(key());
    const now = JSON.stringify([key(), levels, Boolean(told)]);
    const other = told && levels.some((level, k) => level === null || Math.abs(level - told.levels[k]) > 0.005 * told.levels[k]);
    if (now === shown) return;
    shown = now;
    fill(problem);
    fill(body, el("p", {}, `With this type nothing is meant to be felt: at ${levels.map((level) => num(level, "mA")).join(" and ")} the body map stays empty or nearly so. What matters is whether the neurons that pass pain on fire less.`),
      told && [other && el("p", { class: "notice warn" }, `This was looked at with ${told.levels.map((level) => num(level, "mA")).join(" and ")}.`), result(told)],
      (!told || other) && el("div", { class: "row" }, known && button("Look at the gate", look, { kind: "main", where: problem }), el("a", { class: "button", href: "#/gate" }, "Gate and outlook")),
      !told && el("p", { class: "help" }, known ? "A quick look: few fibres and three copies of the circuit. It takes up to a minute." : "Its amplitude is not known, because nothing is felt at any amplitude."));
  }

  async function look() {
    const bar = el("progress", { max: 1 }), words = el("span", {}, "…");
    const asked = key(), levels = [...room.state.levels], mine = running = new AbortController();
    fill(body, el("div", { class: "state" }, words, bar, button("Cancel", () => mine.abort())));
    try {
      const told = await work("/program/gate", { case: room.draft.case, program: room.state.index, amplitudes: levels }, { signal: mine.signal, progress: (said, share) => { fill(words, said); bar.value = share; } });
      found.set(asked, { ...told, levels });
    } finally { if (running === mine) { running = null; shown = ""; draw(); } }
  }

  function result(told) {
    const places = [...new Set(told.transmission.map((row) => row.place))], hypotheses = Object.entries(told.hypotheses).filter(([name]) => told.transmission.some((row) => row.hypothesis === name));
    const cells = Object.keys(told.transmission[0] ?? {}).filter((name) => name !== "hypothesis" && name !== "place");
    const most = Math.max(1, ...told.transmission.flatMap((row) => cells.flatMap((cell) => [row[cell].hz, row[cell].hz_without])));
    return el("div", {}, el("div", { class: "gates" }, hypotheses.map(([name, words]) => el("div", {}, el("h3", {}, words), el("div", { class: "bars2" }, places.flatMap((place) => cells.map((cell) => {
      const row = told.transmission.find((each) => each.hypothesis === name && each.place === place)?.[cell];
      if (!row) return null;
      const line = (label, hz, more) => [el("span", {}, label), el("i", { class: more, style: { width: `${(100 * hz) / most}%` } }), el("span", {}, num(hz, "Hz"))];
      return [el("span", { class: "place" }, `${place}${cells.length > 1 ? `, ${cell}` : ""}: `, change(row)), line("without", row.hz_without, ""), line("with", row.hz, "with")];
    })))))),
    el("p", { class: "help" }, `Firing of the neurons that pass pain on, under each of the claims about how such stimulation works; these claims compete, none is proven. `, mark(told.evidence),
      ` ${told.firing.fire} of ${told.firing.followed} fibres near the amplitude fire. ${told.notes.join(". ")}.`), el("a", { class: "button", href: "#/gate" }, "The whole gate and the outlook"));
  }

  const change = (row) => (row.inhibition_percent === null ? "not known" : Math.abs(row.inhibition_percent) < 0.5 ? "no change" : `${num(Math.abs(row.inhibition_percent), "%", 1, 2)} ${row.inhibition_percent > 0 ? "less" : "more"} (90 % interval ${num(row.from, "", 1, 2)} to ${num(row.to, "", 1, 2)})`);

  return { node, draw, stop: () => running?.abort() };
}
