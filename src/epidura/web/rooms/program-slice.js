// The axial slice: every fibre where it runs, filled where it fires.

import { el, fill } from "../lib/dom.js";

const NAMES = { "dorsal-column": "dorsal columns", "dorsal-root": "dorsal roots" };

export function slice(room) {
  const canvas = el("canvas", { class: "slice", role: "img", "aria-label": "Cross-section of the canal: nothing is computed yet." }), counts = el("dl", { class: "facts" }), level = el("span", { class: "help" });
  const node = el("section", { class: "card", "aria-labelledby": "slice" }, el("h2", { id: "slice" }, "Fibres that fire"), level, canvas,
    el("div", { class: "keys" }, el("span", {}, el("b", { class: "on" }), "column fibre fires"), el("span", {}, el("b", {}), "silent"), el("span", {}, el("b", { class: "root on" }), "root fibre fires"), el("span", {}, el("b", { class: "root" }), "silent")), counts);
  let box = null;

  function around() {
    // the dorsal part of the cord and the leads fill the picture; bone and the ventral cord are cut off
    const { outlines: { cord }, shafts } = room.state.fibres, wide = (shaft) => Math.max(shaft.half_width_mm ?? 0, shaft.radius_mm);
    const x = [...cord.map((p) => p[0]), ...shafts.flatMap((shaft) => [shaft.x_mm - wide(shaft), shaft.x_mm + wide(shaft)])], y = [...cord.map((p) => p[1]), ...shafts.flatMap((shaft) => [shaft.y_mm - wide(shaft), shaft.y_mm + wide(shaft)])];
    box = { left: Math.min(...x) - 0.8, right: Math.max(...x) + 0.8, low: Math.min(...y) - 0.5, high: (Math.max(...cord.map((p) => p[1])) + Math.min(...cord.map((p) => p[1]))) / 2 + 0.6 };
    fill(level, `at ${room.state.fibres.vertebra} (cord segment ${room.state.fibres.level}), dorsal down; mm`);
  }

  function paint(answer, levels) {
    const fibres = room.state.fibres;
    if (!fibres || !box) return;
    const style = getComputedStyle(document.documentElement), ink = (name) => style.getPropertyValue(name).trim();
    const wide = canvas.clientWidth, tall = canvas.clientHeight, ratio = devicePixelRatio || 1;
    if (!wide) return;
    if (canvas.width !== Math.round(wide * ratio)) { canvas.width = Math.round(wide * ratio); canvas.height = Math.round(tall * ratio); }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, wide, tall);
    const scale = Math.min(wide / (box.right - box.left), (tall - 16) / (box.high - box.low));
    const px = (x) => wide / 2 + (x - (box.left + box.right) / 2) * scale, py = (y) => tall / 2 - (y - (box.low + box.high) / 2) * scale;
    const loop = (points, fillStyle, stroke) => { pen.beginPath(); points.forEach(([x, y], i) => (i ? pen.lineTo(px(x), py(y)) : pen.moveTo(px(x), py(y)))); pen.closePath(); if (fillStyle) { pen.fillStyle = fillStyle; pen.fill(); } pen.strokeStyle = stroke; pen.lineWidth = 1; pen.stroke(); };
    loop(fibres.outlines.canal, ink("--raised"), ink("--edge"));
    loop(fibres.outlines["dura-inner"], ink("--paper"), ink("--edge"));
    loop(fibres.outlines.cord, ink("--skin"), ink("--faint"));
    loop(fibres.outlines["grey-matter"], ink("--unfelt"), ink("--line"));
    for (const shaft of fibres.shafts) {
      pen.save();
      pen.translate(px(shaft.x_mm), py(shaft.y_mm));
      pen.rotate((-shaft.turn_deg * Math.PI) / 180);
      const half = Math.max(shaft.half_width_mm ?? shaft.radius_mm, shaft.radius_mm) * scale, thick = shaft.radius_mm * scale;
      pen.beginPath();
      pen.roundRect(-half, -thick, 2 * half, 2 * thick, thick);
      if (shaft.there) { pen.fillStyle = ink("--edge"); pen.fill(); } else pen.setLineDash([3, 2]);
      pen.strokeStyle = ink("--ink");
      pen.stroke();
      pen.restore();
    }
    const firing = fibres.population.map(() => 0), all = fibres.population.map(() => 0);
    const on = new Array(fibres.x_mm.length).fill(false);
    answer.trains.forEach((train, k) => { const limit = levels[k]; if (limit === null) return; const reach = limit * (1 + 1e-9); for (let f = 0; f < on.length; f++) { const start = train.thresholds_mA[f]; if (start !== null && start <= reach) on[f] = true; } });
    const colours = { on: [ink("--accent"), ink("--pain")], off: ink("--edge") };
    for (const lit of [false, true]) for (let f = 0; f < on.length; f++) {
      if (on[f] !== lit) continue;
      const kind = fibres.population[f], root = fibres.populations[kind] !== "dorsal-column", size = lit ? 3 : 1.8;
      pen.fillStyle = pen.strokeStyle = lit ? colours.on[root ? 1 : 0] : colours.off;
      pen.globalAlpha = lit ? 1 : 0.55;
      pen.lineWidth = 0.8;
      pen.beginPath();
      if (root) pen.rect(px(fibres.x_mm[f]) - size, py(fibres.y_mm[f]) - size, 2 * size, 2 * size); else pen.arc(px(fibres.x_mm[f]), py(fibres.y_mm[f]), size, 0, 2 * Math.PI);
      if (lit) pen.fill(); else pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.fillStyle = ink("--soft");
    pen.font = "600 12px system-ui, sans-serif";
    pen.fillText("L", 4, tall / 2);
    pen.textAlign = "right";
    pen.fillText("R", wide - 4, tall / 2);
    pen.textAlign = "left";
    for (let f = 0; f < on.length; f++) { all[fibres.population[f]] += fibres.weight[f]; if (on[f]) firing[fibres.population[f]] += fibres.weight[f]; }
    const lines = fibres.populations.map((name, kind) => {
      const total = fibres.population.filter((each) => each === kind).length, lit = on.filter((each, f) => each && fibres.population[f] === kind).length;
      return [NAMES[name] ?? name, `${lit} of ${total} simulated fire`, name === "dorsal-column" ? `; they stand for ${Math.round(firing[kind]).toLocaleString("en")} of ${Math.round(all[kind]).toLocaleString("en")} large fibres` : ` (${Math.round((100 * lit) / total)} %)`];
    });
    fill(counts, lines.map(([name, first, more]) => [el("dt", {}, name), el("dd", {}, first, more)]));
    canvas.setAttribute("aria-label", `Cross-section of the canal. ${lines.map(([name, first]) => `${name}: ${first}`).join("; ")}.`);
  }

  return { node, around, paint };
}
