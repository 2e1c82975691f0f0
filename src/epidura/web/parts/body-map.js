// <body-map>: the human figure, front and back, cut into dermatomes. Shows what is felt (filled) and where it hurts (hatched), or lets a person mark regions.
// An area is drawn where people point when they name it and not as the dermatomes that it stands for: those of deep and referred pain are no skin of it.
//
//   const map = document.createElement("body-map");
//   map.drawing = await get("/bodymap");
//   map.pain = ["low-back", "left-leg"]; map.felt = {"L4 left": 0.8};
//   map.pick = "pain"; map.addEventListener("pick", ({detail: {dermatome, side, on, marked}}) => …);
//
// By keyboard: Tab reaches a region, arrow keys go to the neighbours in its list, space or Enter marks it.

import { el, svg, fill, fresh } from "../lib/dom.js";

const CENTRES = { front: 132, back: 388 };
const path = (polygons, sign, close = true) => polygons.map((line) => "M" + line.map(([x, y]) => `${+(sign * x).toFixed(2)} ${y}`).join("L") + (close ? "Z" : "")).join("");
const hand = (view, side) => ((view === "front") === (side === "left") ? 1 : -1);

const halves = (id) => { const [, side, name] = /^(left|right)-(.*)$/.exec(id); return [side, name]; };
/** Each side of areas: "low-back" is both. */
const sided = (ids) => new Set([...(ids ?? [])].flatMap((id) => (/^(left|right)-/.test(id) ? [id] : [`left-${id}`, `right-${id}`])));

export class BodyMap extends HTMLElement {
  #drawing = null; #felt = {}; #pain = new Set(); #chosen = new Set(); #marked = new Set(); #pick = ""; #regions = new Map(); #areas = new Map(); #says = null;
  /** The answer of `GET /bodymap`. */
  set drawing(value) { this.#drawing = value; this.#draw(); }
  get drawing() { return this.#drawing; }
  /** {"L4 left": share from 0 to 1}. */
  set felt(value) { this.#felt = value ?? {}; this.#paint(); }
  /** Areas that hurt: ids of the drawing's areas, with left- or right- before one side. */
  set pain(value) { this.#pain = sided(value); this.#paint(); }
  /** Areas that were chosen by hand, the same way, drawn as what is marked. */
  set chosen(value) { this.#chosen = sided(value); this.#paint(); }
  /** [[dermatome, side], …] that are marked by hand (`pick`). */
  set marked(value) { this.#marked = new Set((value ?? []).map(([dermatome, side]) => `${dermatome} ${side}`)); this.#paint(); }
  get marked() { return [...this.#marked].map((key) => key.split(" ")); }
  /** What clicking marks, in words ("pain", "tingling"); empty: nothing can be marked. */
  set pick(value) { this.#pick = value; this.#draw(); }

  #draw() {
    if (!this.#drawing) return;
    this.#regions.clear();
    this.#areas.clear();
    const hatch = fresh("hatch"), dots = fresh("dots");
    const picture = svg("svg", { viewBox: "0 0 520 632", role: this.#pick ? "group" : "img", class: this.#pick ? "picks" : "" },
      svg("defs", {},
        svg("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
          svg("rect", { width: 2.2, height: 6, class: "hatch-gap" }), svg("rect", { x: 0.45, width: 1.4, height: 6, class: "hatch-line" })),
        svg("pattern", { id: dots, width: 7, height: 7, patternUnits: "userSpaceOnUse" }, svg("circle", { cx: 3.5, cy: 3.5, r: 1.7, class: "dot" }))),
      ["front", "back"].map((view) => this.#figure(view, hatch, dots)));
    this.#says = el("p", { class: "sr", "aria-live": "polite" });
    fill(this, picture, this.#legend(hatch, dots), this.#says);
    this.picture = picture;
    this.#paint();
  }

  #figure(view, hatch, dots) {
    const half = this.#drawing.views[view];
    const both = [1, -1].map((sign) => path([half.silhouette], sign)).join("");
    const regions = [], marks = [];
    for (const side of ["left", "right"]) for (const [dermatome, polygons] of Object.entries(half.regions)) {
      const key = `${dermatome} ${side}`, shape = path(polygons, hand(view, side));
      const region = svg("path", { d: shape, class: "region", "data-dermatome": dermatome, "data-side": side, ...(this.#pick ? { role: "checkbox", tabindex: -1 } : {}) }, svg("title", {}, key));
      const mark = svg("path", { d: shape, class: "picked", fill: `url(#${dots})` });
      if (this.#pick) {
        region.addEventListener("click", () => this.#toggle(key));
        region.addEventListener("keydown", (event) => this.#keys(event, region, key));
      }
      const list = this.#regions.get(key) ?? [];
      list.push({ region, mark });
      this.#regions.set(key, list);
      regions.push(region);
      marks.push(mark);
    }
    for (const side of ["left", "right"]) for (const [area, polygons] of Object.entries(half.areas)) {
      const shape = path(polygons, hand(view, side)), pain = svg("path", { d: shape, class: "pain", fill: `url(#${hatch})`, "data-area": `${side}-${area}` }), mark = svg("path", { d: shape, class: "picked", fill: `url(#${dots})`, "data-area": `${side}-${area}` });
      this.#areas.set(`${side}-${area}`, [...(this.#areas.get(`${side}-${area}`) ?? []), { pain, mark }]);
      marks.push(pain, mark);
    }
    if (this.#pick && view === "front" && regions.length) regions[0].setAttribute("tabindex", 0);
    const details = half.details.flatMap((line) => (line.some(([x]) => x) ? [1, -1] : [1]).map((sign) => svg("path", { d: path([line], sign, false) })));
    const names = Object.entries(half.labels).map(([dermatome, [[x, y], end]]) => [
      end && svg("line", { x1: x, y1: y, x2: end[0], y2: end[1], class: "leader" }), svg("text", { x, y: y + 2.5, class: "name" }, dermatome)]);
    const right = hand(view, "right");
    return svg("g", { transform: `translate(${CENTRES[view]} 46)`, "data-view": view },
      svg("path", { d: both, class: "edge" }), svg("path", { d: both, class: "skin" }), regions, svg("g", { "pointer-events": "none" }, marks, svg("g", { class: "lines" }, details), names,
        svg("text", { x: 0, y: -10, class: "view" }, view), svg("text", { x: 86 * right, y: 62, class: "hand" }, "R"), svg("text", { x: -86 * right, y: 62, class: "hand" }, "L")));
  }

  #legend(hatch, dots) {
    const box = (...inside) => svg("svg", { viewBox: "0 0 22 12", width: 22, height: 12, "aria-hidden": "true" }, ...inside);
    return el("div", { class: "legend" },
      el("span", {}, box(svg("rect", { width: 22, height: 12, class: "felt-full" })), " felt"),
      el("span", {}, box(svg("rect", { width: 22, height: 12, class: "region" }), svg("rect", { width: 22, height: 12, class: "pain on", fill: `url(#${hatch})` })), " where it hurts"),
      this.#pick && el("span", {}, box(svg("rect", { width: 22, height: 12, class: "region" }), svg("rect", { width: 22, height: 12, class: "picked on", fill: `url(#${dots})` })), ` marked: ${this.#pick}`));
  }

  #toggle(key) {
    const on = !this.#marked.has(key);
    if (on) this.#marked.add(key); else this.#marked.delete(key);
    this.#paint();
    const [dermatome, side] = key.split(" ");
    this.dispatchEvent(new CustomEvent("pick", { detail: { dermatome, side, on, marked: this.marked }, bubbles: true }));
  }

  #keys(event, region, key) {
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); this.#toggle(key); return; }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...this.querySelectorAll(".region[role]")];
    const next = all[(all.indexOf(region) + step + all.length) % all.length];
    region.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  }

  #paint() {
    if (!this.picture) return;
    const { areas } = this.#drawing, of = (id) => { const [side, name] = halves(id); return (areas.find((one) => one.id === name)?.dermatomes ?? []).map((dermatome) => `${dermatome} ${side}`); };
    const segments = new Set([...this.#pain].flatMap(of));
    for (const [id, all] of this.#areas) for (const { pain, mark } of all) { pain.classList.toggle("on", this.#pain.has(id)); mark.classList.toggle("on", this.#chosen.has(id)); }
    for (const [key, all] of this.#regions) {
      const share = Math.max(0, Math.min(1, this.#felt[key] ?? 0)), on = this.#marked.has(key);
      const [dermatome, side] = key.split(" ");
      for (const { region, mark } of all) {
        region.style.setProperty("--share", share.toFixed(3));
        mark.classList.toggle("on", on);
        const words = `${side} ${dermatome}${segments.has(key) ? ", of the pain" : ""}${share > 0 ? `, felt ${Math.round(100 * share)} %` : ""}`;
        region.firstChild.textContent = words;
        if (this.#pick) { region.setAttribute("aria-label", `${words}, ${this.#pick}`); region.setAttribute("aria-checked", String(on)); }
      }
    }
    const felt = [...this.#regions.keys()].filter((key) => (this.#felt[key] ?? 0) > 0), named = (ids) => [...ids].map((id) => { const [side, name] = halves(id); return `${side} ${areas.find((one) => one.id === name)?.name ?? name}`; });
    const words = `Body map. Felt: ${felt.join(", ") || "nothing"}. Painful: ${named(this.#pain).join("; ") || "nothing"}.${this.#pick ? ` Marked: ${[...this.#marked, ...named(this.#chosen)].join("; ") || "nothing"}.` : ""}`;
    this.picture.setAttribute("aria-label", words);
    clearTimeout(this.later); // a slider must not fill the ear
    this.later = setTimeout(() => { if (this.#says) this.#says.textContent = words; }, 700);
  }
}

customElements.define("body-map", BodyMap);
