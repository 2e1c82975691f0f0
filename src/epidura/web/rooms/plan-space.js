// The canal with its leads: in space, and from behind as in fluoroscopy (SVG), where a lead can be dragged.

import "../parts/space-view.js";
import { el, fill, num, perFrame, svg } from "../lib/dom.js";

/** From negative to positive; told apart by colour-blind eyes, light in the middle. */
export const SCALE = [[0, "#08306b"], [0.25, "#4292c6"], [0.5, "#f7f7f7"], [0.75, "#fd8d3c"], [1, "#7f2704"]];
const TISSUE = { cord: "#e3b04b", dura: "#56b4e9", bone: "#d8ccb4", disc: "#8fa3c8", foramen: "#b9c7cf", ligament: "#c9a0a0" };

/** The answer of `POST /plan/scene`: `{header, surfaces: name -> {points, triangles}, z, edges: name -> [[left, right], …]}`, mm. */
export function unpack({ header, numbers }) {
  let at = 0;
  const take = (count) => numbers.subarray(at, (at += count));
  const surfaces = new Map(header.surfaces.map((one) => [one.name, { points: take(3 * one.points), triangles: take(3 * one.triangles) }]));
  const z = take(header.heights), edges = new Map(header.edges.map((name) => [name, take(2 * header.heights)]));
  return { header, surfaces, z, edges };
}

/** Weighted sum of the rows of a matrix (rows, n): what a program makes of its contacts. */
export function mix(matrix, weights, n) {
  const out = new Float32Array(n);
  weights.forEach((weight, row) => {
    if (!weight) return;
    const from = row * n;
    for (let i = 0; i < n; i++) out[i] += weight * matrix[from + i];
  });
  return out;
}

/** Lowest and highest of numbers, those that are none left out; 0 is among them. */
function span(values) {
  let low = 0, high = 0;
  for (let i = 0; i < values.length; i++) if (values[i] < low) low = values[i]; else if (values[i] > high) high = values[i];
  return [low, high];
}

/** Largest size among numbers, those that are none left out; `share`: of the numbers that may be larger. */
export function extent(values, share = 0) {
  if (!share) { const [low, high] = span(values); return Math.max(-low, high) || 1; }
  const sizes = Float32Array.from(values, Math.abs).filter(Number.isFinite);
  if (!sizes.length) return 1;
  sizes.sort();
  return sizes[Math.floor((1 - share) * (sizes.length - 1))] || 1;
}

/** A range of colours that stays while values change a little, so that a higher amplitude looks stronger. */
export function sticky(range, size) {
  return range && size <= range && size > range / 6 ? range : 1.5 * size;
}

/** Surfaces as one. */
function joined(all) {
  const points = new Float32Array(all.reduce((sum, one) => sum + one.points.length, 0)), triangles = new Uint32Array(all.reduce((sum, one) => sum + one.triangles.length, 0));
  let p = 0, t = 0;
  for (const one of all) {
    triangles.set(one.triangles.map((corner) => corner + p / 3), t);
    points.set(one.points, p);
    p += one.points.length;
    t += one.triangles.length;
  }
  return { points, triangles };
}

const LEAD = { lead: "#8b949c", idle: "#333b42", cathode: "#0072b2", anode: "#d55e00" };
/** How clear tissues are and which is further out; `with`: shown and hidden with which one. */
const TISSUES = { cord: { name: "spinal cord", from: ["cord"], layer: 0 }, dura: { name: "dura", from: ["dura"], opacity: 0.22, layer: 1 }, disc: { name: "disc", from: ["disc"], opacity: 0.9, layer: 3, with: "bone" },
  foramen: { name: "foramen, ligament", from: ["foramen", "ligament"], opacity: 0.25, layer: 3, with: "bone" }, bone: { name: "bone, its ventral half", from: ["bone"], opacity: 0.5, layer: 3 } };
const COLOURED = 0.35; // opacity of the dura where its colours mean something

/** The canal in space. */
export class Space {
  constructor(node) {
    this.view = el("space-view");
    this.view.scale = { colours: SCALE.map(([, colour]) => colour), title: "potential", unit: "mV" };
    fill(node, this.view);
    this.shown = { bone: true, dura: true, cord: true, names: true };
  }
  /** A scene with all its tissues. `drive`: current of each contact per ampere. */
  show(scene, drive = []) {
    if (scene !== this.scene) {
      this.scene = scene;
      for (const [name, { name: called, from, opacity = 1, layer, with: other = name }] of Object.entries(TISSUES)) {
        const found = from.map((one) => scene.surfaces.get(one)).filter(Boolean);
        this.view.put(name, found.length ? { ...joined(found), name: called, colour: TISSUE[name], opacity, layer, shown: this.shown[other] } : null);
      }
      const { header } = scene, edge = [...(scene.edges.get("canal") ?? [-10, 10])], wide = Math.max(...edge.map(Math.abs)), wall = ["cord", "dura", "bone", "disc", "foramen", "ligament"].flatMap((name) => scene.surfaces.get(name) ?? []);
      const depth = wall.reduce(([low, high], { points }) => { for (let at = 1; at < points.length; at += 3) { low = Math.min(low, points[at]); high = Math.max(high, points[at]); } return [low, high]; }, [0, 0]);
      this.view.fit([-wide, depth[0], header.low], [wide, depth[1], header.high]);
    }
    this.moved(scene, drive);
    this.#paint();
  }
  /** Leads alone moved; tissues stay. */
  moved(scene, drive = []) {
    if (!this.scene) return;
    const contacts = [...scene.surfaces].filter(([name]) => name.startsWith("contact")).map(([name, one]) => ({ ...one, number: Number(name.slice(8)), sign: Math.sign(drive[Number(name.slice(8)) - 1] ?? 0) }));
    const put = (name, all, opacity = 1) => this.view.put(name, all.length ? { ...joined(all), name: name === "idle" ? "contact" : name, colour: LEAD[name], opacity, layer: 2, edged: true } : null);
    put("lead", [...scene.surfaces].filter(([name]) => name.startsWith("lead")).map(([, one]) => one), scene.header.leads.some((lead) => lead.paddle) ? 0.3 : 1); // contacts of a paddle look away from whoever sees it from behind
    for (const [name, sign] of [["cathode", -1], ["idle", 0], ["anode", 1]]) put(name, contacts.filter((one) => one.sign === sign));
    const places = contacts.map((one) => middle(one.points)), of = [0, 1, 2].map((k) => places.reduce((sum, place) => sum + place[k] / places.length, 0));
    this.numbers = contacts.map(({ points, number, sign }, i) => ({ at: places[i], of, beside: half(points) + 0.4, text: `${number}${sign < 0 ? "−" : sign > 0 ? "+" : ""}`, kind: sign < 0 ? "cathode" : sign > 0 ? "anode" : "" }));
    this.#words();
  }
  #words() {
    const { header, edges } = this.scene, wide = Math.max(...(edges.get("canal") ?? [10]));
    const names = header.vertebrae.filter((one) => one.low < header.high && one.high > header.low)
      .map((one) => ({ beside: 2, at: [-wide, 0, Math.min(Math.max((one.low + one.high) / 2, header.low), header.high)], text: one.name, kind: "vertebra" }));
    this.view.labels = [...(this.numbers ?? []), ...(this.shown.names ? names : [])];
  }
  /** Shows or hides a tissue. */
  toggle(name, on) {
    this.shown[name] = on;
    if (!this.scene) return;
    if (name === "names") this.#words();
    else for (const [tissue, { with: other = tissue }] of Object.entries(TISSUES)) if (other === name) this.view.look(tissue, { shown: on });
  }
  /** Colours cord and dura: `field`: {matrix, n, sizes: {cord, dura}}; `weights`: A per contact times 1e3, so that values are mV. Null: tissue colours. */
  colour(field, weights) {
    this.field = field;
    this.weights = weights;
    if (this.scene) this.#paint();
  }
  /** The picture in words. */
  #told(values = null) {
    const { header } = this.scene, [low, high] = span(values ?? []);
    const potential = values ? ` Cord and dura are coloured by their potential, from ${num(low, "mV")} to ${num(high, "mV")}.` : "";
    this.view.says = (seen) => `Spinal canal from ${num(header.low, "mm")} to ${num(header.high, "mm")} around the middle of ${header.vertebra}, ${seen}: cord, dura, bone of the ventral half, ${header.leads.length} ${header.leads.length === 1 ? "lead" : "leads"}.${potential}`;
  }
  #paint() {
    const { field, weights, scene } = this, fits = field && weights && ["cord", "dura"].every((name) => 3 * field.sizes[name] === scene.surfaces.get(name)?.points.length);
    if (!fits) {
      for (const name of ["cord", "dura"]) this.view.look(name, { values: null, opacity: TISSUES[name].opacity ?? 1 });
      this.view.most = 0;
      this.#told();
      return;
    }
    const values = mix(field.matrix, weights, field.n);
    this.range = sticky(this.range, extent(values));
    this.view.look("cord", { values: values.subarray(0, field.sizes.cord) });
    this.view.look("dura", { values: values.subarray(field.sizes.cord), opacity: COLOURED });
    this.view.most = this.range;
    this.#told(values);
  }
}

/** Half of the width of a contact, mm. */
function half(points) {
  let low = Infinity, high = -Infinity;
  for (let at = 0; at < points.length; at += 3) { low = Math.min(low, points[at]); high = Math.max(high, points[at]); }
  return (high - low) / 2;
}
function middle(points) {
  const sum = [0, 0, 0];
  for (let at = 0; at < points.length; at++) sum[at % 3] += (3 * points[at]) / points.length;
  return sum;
}

/** Where a lead lies, in words. */
export function where(lead) {
  const x = lead.course.at(-1)[0], off = lead.tip_offset;
  const along = Math.abs(off) < 0.05 ? `at the middle of ${lead.tip_vertebra}` : `${num(Math.abs(off), "mm")} ${off > 0 ? "above" : "below"} the middle of ${lead.tip_vertebra}`;
  const across = Math.abs(x) < 0.05 ? "on the midline" : `${num(Math.abs(x), "mm")} ${x > 0 ? "right" : "left"} of the midline`;
  return `tip ${along}, ${across}`;
}

/**
 * The view from behind. Tells `move(lead, {across, along, last})` in mm from where the lead was, while it is dragged and (`last`) when it is let go.
 */
export class Behind {
  constructor(node, move) {
    this.node = node;
    this.move = move;
    this.dragging = null;
  }
  show(scene, drive = []) {
    this.scene = scene;
    const { header, z, edges } = scene, wide = 21;
    const band = (name) => {
      const edge = edges.get(name), left = [], right = [];
      for (let i = 0; i < z.length; i++) { left.push(`${edge[2 * i].toFixed(2)} ${(-z[i]).toFixed(2)}`); right.unshift(`${edge[2 * i + 1].toFixed(2)} ${(-z[i]).toFixed(2)}`); }
      return svg("path", { d: `M${[...left, ...right].join("L")}Z`, class: name === "canal" ? "bone" : name });
    };
    const spans = (list, x, anchor) => list.filter((one) => one.low < header.high && one.high > header.low).flatMap((one) => {
      const low = Math.max(one.low, header.low), high = Math.min(one.high, header.high);
      return [high - low > 3 && svg("text", { x, y: -(low + high) / 2 + 0.9, "text-anchor": anchor }, one.name), x > 0 && one.low > header.low && svg("line", { x1: wide - 5, x2: wide, y1: -one.low, y2: -one.low, class: "middle" })];
    });
    const bodies = header.vertebrae.filter((one) => one.low < header.high && one.high > header.low).map((one) => svg("rect", { x: -15.5, width: 31, y: -one.high + 0.8, height: one.high - one.low - 1.6, rx: 2, class: "vertebra" }));
    this.picture = svg("svg", { viewBox: `${-wide} ${-header.high} ${2 * wide} ${header.high - header.low}`, role: "group", "aria-label": "Leads from behind, as in fluoroscopy" },
      bodies, band("canal"), band("dura"), band("cord"), svg("line", { x1: 0, x2: 0, y1: -header.high, y2: -header.low, class: "middle" }),
      spans(header.vertebrae, -wide + 1, "start"), spans(header.segments, wide - 1, "end"),
      svg("text", { x: -15, y: -header.high + 5, class: "side" }, "L"), svg("text", { x: 12.6, y: -header.high + 5, class: "side" }, "R"));
    this.groups = header.leads.map((lead, i) => this.#lead(lead, i, drive));
    const held = this.node.querySelector(".lead:focus")?.dataset.lead;
    this.picture.append(...this.groups);
    fill(this.node, this.picture);
    if (held) this.groups[held]?.focus({ preventScroll: true });
  }
  #lead(lead, i, drive) {
    const [top] = lead.course.slice(-1), line = lead.course.map(([x, z]) => `${x} ${-z}`).join("L");
    const group = svg("g", { class: `lead${lead.beside ? " fixed" : ""}`, tabindex: 0, role: "slider", "data-lead": i, "aria-orientation": "vertical", "aria-label": `lead ${i + 1}, ${lead.name}`,
      "aria-valuemin": -1000, "aria-valuemax": 1000, "aria-valuenow": Math.round(top[1] * 10) / 10, "aria-valuetext": where(lead) },
    svg("path", { d: `M${line}`, class: "grip", "stroke-width": 2 * lead.half + 3 }), svg("path", { d: `M${line}`, class: "body", "stroke-width": 2 * lead.half }),
    lead.contacts.map((one) => {
      const sign = Math.sign(drive[one.number - 1] ?? 0), tall = one.z1 - one.z0;
      return [svg("rect", { x: one.x - one.half - 0.35, y: -one.z1, width: 2 * one.half + 0.7, height: tall, rx: 0.3, class: `contact${sign < 0 ? " cathode" : sign > 0 ? " anode" : ""}` }),
        svg("text", { x: one.x, y: -(one.z0 + one.z1) / 2 + 0.55 }, `${one.number}${sign < 0 ? "−" : sign > 0 ? "+" : ""}`)];
    }));
    group.addEventListener("pointerdown", (event) => this.#grab(event, group, i, lead));
    group.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 5 : 0.5, side = lead.beside ? 0 : 0.5;
      const by = { ArrowUp: [0, step], ArrowDown: [0, -step], ArrowLeft: [-side, 0], ArrowRight: [side, 0] }[event.key];
      if (!by) return;
      event.preventDefault();
      this.move(i, { across: by[0], along: by[1], last: true });
    });
    return group;
  }
  #grab(event, group, i, lead) {
    if (event.button) return;
    event.preventDefault();
    group.focus({ preventScroll: true });
    const inverse = this.picture.getScreenCTM().inverse(), place = (e) => new DOMPoint(e.clientX, e.clientY).matrixTransform(inverse);
    const from = place(event);
    group.classList.add("drag");
    group.setPointerCapture(event.pointerId);
    const by = (e) => { const to = place(e), round = (v) => Math.round(v * 10) / 10; return { across: lead.beside ? 0 : round(to.x - from.x), along: round(from.y - to.y) }; };
    const show = perFrame((now) => { if (this.dragging === i) { group.setAttribute("transform", `translate(${now.across} ${-now.along})`); this.move(i, { ...now, last: false }); } });
    this.dragging = i;
    const drag = (e) => show(by(e));
    const drop = (e) => {
      group.removeEventListener("pointermove", drag);
      group.classList.remove("drag");
      this.dragging = null;
      this.move(i, { ...(e.type === "pointercancel" ? { across: 0, along: 0 } : by(e)), last: true });
    };
    group.addEventListener("pointermove", drag);
    group.addEventListener("pointerup", drop, { once: true });
    group.addEventListener("pointercancel", drop, { once: true });
  }
  /** Whether the place where a lead is held is possible. */
  bad(i, not) { this.groups?.[i]?.classList.toggle("bad", not); }
  /** Puts a lead back to where it was. */
  back(i) { this.groups?.[i]?.removeAttribute("transform"); }
}

export const key = () => el("p", { class: "key" }, [["cord", TISSUE.cord], ["dura", TISSUE.dura], ["bone", TISSUE.bone], ["disc", TISSUE.disc], ["cathode −", "#0072b2"], ["anode +", "#d55e00"]]
  .map(([name, colour]) => el("span", {}, el("i", { style: { background: colour } }), name)));
