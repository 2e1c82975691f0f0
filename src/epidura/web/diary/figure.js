// A figure to tap on where it tingles, in parts of the body as people name them and not in dermatomes. The outline is that of GET /bodymap; where a part
// begins on it is a drawing and no finding. The parts are ids of the clinic's list of areas; those which a patient cannot tell apart are left out.

import { el, fill, fresh, svg } from "../lib/dom.js";
import { areaName, t } from "./words.js";

// half a figure, x from the midline, y down from the crown; the outline cuts them to shape
const HALF = {
  front: {
    neck: [[0, 58], [30, 58], [30, 86], [0, 90]], shoulder: [[30, 78], [84, 78], [84, 128], [50, 128], [36, 118]],
    chest: [[0, 90], [30, 86], [36, 118], [50, 128], [50, 168], [0, 168]], "upper-arm": [[50, 128], [110, 128], [110, 205], [50, 205]],
    forearm: [[50, 205], [120, 205], [120, 274], [50, 274]], hand: [[60, 274], [130, 274], [130, 340], [60, 340]],
    abdomen: [[0, 168], [50, 168], [50, 228], [0, 228]], groin: [[0, 228], [28, 228], [12, 282], [0, 282]], hip: [[28, 228], [56, 228], [56, 286], [36, 286], [21, 252]],
    thigh: [[0, 282], [12, 282], [21, 252], [36, 286], [60, 286], [60, 358], [0, 358]], knee: [[0, 358], [60, 358], [60, 408], [0, 408]],
    calf: [[0, 408], [60, 408], [60, 494], [0, 494]], foot: [[0, 494], [60, 494], [60, 540], [0, 540]],
  },
  back: {
    head: [[0, -5], [40, -5], [40, 58], [0, 58]], neck: [[0, 58], [30, 58], [30, 86], [0, 90]], shoulder: [[30, 78], [84, 78], [84, 128], [50, 128], [36, 118]],
    "upper-back": [[0, 90], [30, 86], [36, 118], [50, 128], [50, 168], [0, 168]], "upper-arm": [[50, 128], [110, 128], [110, 205], [50, 205]],
    forearm: [[50, 205], [120, 205], [120, 274], [50, 274]], hand: [[60, 274], [130, 274], [130, 340], [60, 340]],
    "low-back": [[0, 168], [50, 168], [50, 228], [0, 228]], buttock: [[0, 228], [56, 228], [56, 290], [0, 290]], thigh: [[0, 290], [60, 290], [60, 366], [0, 366]],
    calf: [[0, 366], [60, 366], [60, 494], [0, 494]], foot: [[0, 494], [60, 494], [60, 540], [0, 540]],
  },
};
const line = (points, sign = 1) => "M" + points.map(([x, y]) => `${(sign * x).toFixed(1)} ${y}`).join("L") + "Z";

export class Figure {
  /** Parts that can be marked, from the head down. */
  static areas = ["head", "neck", "shoulder", "upper-arm", "forearm", "hand", "chest", "upper-back", "abdomen", "low-back", "hip", "buttock", "groin", "pelvis", "thigh", "knee", "calf", "foot"];
  #drawing = null; #marked = new Set(); #view = "front"; #parts = []; #onchange; #frame; #tabs;
  constructor(onchange) {
    this.#onchange = onchange;
    this.#frame = el("div", { class: "figure" });
    const name = fresh("v");
    this.#tabs = el("div", { class: "cells wordy views", role: "radiogroup", "aria-label": t("tingling"), style: { "--columns": 2 } }, ["front", "back"].map((view) => {
      const id = fresh("v");
      return [el("input", { type: "radio", id, name, value: view, checked: view === "front", onchange: () => { this.#view = view; this.#draw(); } }), el("label", { for: id }, t(view))];
    }));
    this.node = el("div", { hidden: true }, this.#tabs, this.#frame);
  }
  set drawing(value) { this.#drawing = value; this.node.hidden = false; this.#draw(); }
  set marked(value) { this.#marked = new Set(value); this.#paint(); }

  #draw() {
    if (!this.#drawing) return;
    const half = this.#drawing.views[this.#view], dots = fresh("dots"), cut = fresh("cut");
    const outline = [1, -1].map((sign) => line(half.silhouette, sign)).join("");
    this.#parts = [];
    const parts = ["left", "right"].flatMap((side) => Object.entries(HALF[this.#view]).map(([area, points]) => {
      const sign = (this.#view === "front") === (side === "left") ? 1 : -1, id = `${side}-${area}`, shape = line(points, sign);
      const mark = svg("path", { d: shape, class: "dots", fill: `url(#${dots})` });
      const part = svg("path", { d: shape, class: "part", role: "checkbox", tabindex: this.#parts.length ? -1 : 0, "aria-label": areaName(id) });
      part.addEventListener("click", () => this.#toggle(id));
      part.addEventListener("keydown", (event) => this.#keys(event, part, id));
      this.#parts.push({ id, part, mark });
      return [part, mark];
    }));
    const left = this.#view === "front" ? 1 : -1;
    fill(this.#frame, svg("svg", { viewBox: "-126 -22 252 566", role: "group", "aria-label": `${t("tingling")} ${t(this.#view)}` },
      svg("defs", {}, svg("clipPath", { id: cut }, svg("path", { d: outline })),
        svg("pattern", { id: dots, width: 7, height: 7, patternUnits: "userSpaceOnUse" }, svg("circle", { cx: 3.5, cy: 3.5, r: 1.9, class: "dot" }))),
      svg("path", { d: outline, class: "edge" }), svg("g", { "clip-path": `url(#${cut})` }, svg("path", { d: outline, class: "skin" }), parts),
      svg("text", { x: 86 * left, y: 60, class: "hand" }, t("yourLeft")), svg("text", { x: -86 * left, y: 60, class: "hand" }, t("yourRight"))));
    this.#paint();
  }
  #toggle(id) {
    if (!this.#marked.delete(id)) this.#marked.add(id);
    this.#paint();
    this.#onchange([...this.#marked]);
  }
  #keys(event, part, id) {
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); this.#toggle(id); return; }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = this.#parts.map((one) => one.part), next = all[(all.indexOf(part) + step + all.length) % all.length];
    part.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  }
  #paint() {
    for (const { id, part, mark } of this.#parts) {
      const on = this.#marked.has(id);
      part.setAttribute("aria-checked", String(on));
      part.classList.toggle("on", on);
      mark.classList.toggle("on", on);
    }
  }
}
