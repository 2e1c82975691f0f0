// The canal with its leads: in space (Plotly), and from behind as in fluoroscopy (SVG), where a lead can be dragged.

import { chart, plotly } from "../lib/charts.js";
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

/** Largest size among numbers, those that are none left out; `share`: of the numbers that may be larger. */
export function extent(values, share = 0) {
  const sizes = Float32Array.from(values, Math.abs).filter(Number.isFinite);
  if (!sizes.length) return 1;
  if (!share) return sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
  sizes.sort();
  return sizes[Math.floor((1 - share) * (sizes.length - 1))] || 1;
}

/** A range of colours that stays while values change a little, so that a higher amplitude looks stronger. */
export function sticky(range, size) {
  return range && size <= range && size > range / 6 ? range : 1.5 * size;
}

function mesh(all) {
  const points = all.reduce((sum, one) => sum + one.points.length / 3, 0), faces = all.reduce((sum, one) => sum + one.triangles.length / 3, 0);
  const [x, y, z] = [0, 0, 0].map(() => new Float32Array(points)), [i, j, k] = [0, 0, 0].map(() => new Uint32Array(faces));
  let p = 0, f = 0;
  for (const one of all) {
    const first = p;
    for (let at = 0; at < one.points.length; at += 3) { x[p] = one.points[at]; y[p] = one.points[at + 1]; z[p++] = one.points[at + 2]; }
    for (let at = 0; at < one.triangles.length; at += 3) { i[f] = first + one.triangles[at]; j[f] = first + one.triangles[at + 1]; k[f++] = first + one.triangles[at + 2]; }
  }
  return { x, y, z, i, j, k };
}

const light = { lighting: { ambient: 0.72, diffuse: 0.55, specular: 0.1, roughness: 0.9 }, lightposition: { x: -20000, y: -100000, z: 30000 } };
const INDEX = { cord: 0, dura: 1, bone: 2, disc: 3, foramen: 4, leads: 5, contacts: 6, numbers: 7, names: 8 };

/** The canal in space. */
export class Space {
  constructor(node) {
    this.node = node;
    this.shown = { bone: true, dura: true, cord: true, names: true };
    this.traces = [];
  }
  /** A scene with all its tissues. `drive`: current of each contact per ampere. */
  async show(scene, drive = []) {
    this.scene = scene;
    const get = (...names) => names.map((name) => scene.surfaces.get(name)).filter(Boolean);
    const tissue = (name, all, opacity, says) => ({ type: "mesh3d", name: says, ...mesh(all), color: TISSUE[name], opacity, hoverinfo: "name", visible: all.length > 0 && this.shown[name] !== false, ...light });
    this.traces = [tissue("cord", get("cord"), 1, "spinal cord"), tissue("dura", get("dura"), 0.28, "dura"), tissue("bone", get("bone"), 0.5, "bone, its ventral half"),
      tissue("disc", get("disc"), 0.9, "disc"), tissue("foramen", get("foramen", "ligament"), 0.25, "foramen, ligament"), ...this.#leads(scene, drive)];
    this.traces[3].visible &&= this.shown.bone;
    this.traces[4].visible &&= this.shown.bone;
    this.traces.push(this.#names(scene));
    this.#paint();
    await this.#draw();
  }
  #leads(scene, drive) {
    const rods = [...scene.surfaces].filter(([name]) => name.startsWith("lead")).map(([, one]) => one);
    const contacts = [...scene.surfaces].filter(([name]) => name.startsWith("contact"));
    const intensity = contacts.flatMap(([name, one]) => new Array(one.points.length / 3).fill(Math.sign(drive[Number(name.slice(8)) - 1] ?? 0)));
    const places = contacts.map(([, one]) => { // a little dorsal of each
      const n = one.points.length / 3, sum = [0, 0, 0];
      for (let at = 0; at < one.points.length; at++) sum[at % 3] += one.points[at] / n;
      return sum;
    });
    return [{ type: "mesh3d", name: "lead", ...mesh(rods), color: "#8b949c", hoverinfo: "name", flatshading: true, ...light },
      { type: "mesh3d", name: "contacts", ...mesh(contacts.map(([, one]) => one)), intensity, cmin: -1, cmax: 1, showscale: false, hoverinfo: "name",
        colorscale: [[0, "#0072b2"], [0.34, "#0072b2"], [0.35, "#333b42"], [0.65, "#333b42"], [0.66, "#d55e00"], [1, "#d55e00"]], ...light },
      { type: "scatter3d", mode: "text", name: "contact numbers", x: places.map((p) => p[0]), y: places.map((p) => p[1] - 2.4), z: places.map((p) => p[2]), hoverinfo: "skip",
        text: contacts.map(([name]) => { const number = name.slice(8), sign = Math.sign(drive[number - 1] ?? 0); return number + (sign < 0 ? "−" : sign > 0 ? "+" : ""); }), textfont: { size: 12 } }];
  }
  #names(scene) {
    const { header } = scene, wide = Math.max(...(scene.edges.get("canal") ?? [10]));
    const here = header.vertebrae.filter((one) => one.low < header.high && one.high > header.low);
    const at = (one) => Math.min(Math.max((one.low + one.high) / 2, header.low), header.high);
    return { type: "scatter3d", mode: "text", name: "vertebrae", x: here.map(() => -wide - 4), y: here.map(() => 0), z: here.map(at), text: here.map((one) => one.name), hoverinfo: "skip",
      textfont: { size: 13 }, visible: this.shown.names };
  }
  /** Leads alone moved; tissues stay. */
  async moved(scene, drive = []) {
    if (!this.traces.length) return;
    const lib = await plotly(), fresh = this.#leads(scene, drive), [rods, contacts] = [this.#mesh(INDEX.leads), this.#mesh(INDEX.contacts)];
    if (rods && contacts && rods.count === fresh[0].i.length && contacts.count === fresh[1].i.length) {
      rods.place(fresh[0]);
      contacts.place(fresh[1]);
      return;
    }
    fresh.forEach((trace, n) => Object.assign(this.traces[INDEX.leads + n], trace));
    await lib.react(this.node, this.node.data, { ...this.node.layout, datarevision: Math.random() });
  }
  /** Shows or hides a tissue. */
  async toggle(name, on) {
    this.shown[name] = on;
    if (!this.traces.length) return;
    const lib = await plotly();
    await lib.restyle(this.node, { visible: on }, name === "bone" ? [INDEX.bone, INDEX.disc, INDEX.foramen] : [INDEX[name]]);
  }
  /** Colours cord and dura: `field`: {matrix, n, sizes: {cord, dura}}; `weights`: A per contact times 1e3, so that values are mV. Null: tissue colours. */
  async colour(field, weights) {
    this.field = field;
    this.weights = weights;
    if (!this.traces.length) return;
    const before = this.traces[0].intensity, range = this.range;
    this.#paint();
    const [cord, dura] = this.traces;
    if (!before && !cord.intensity) return;
    const meshes = [this.#mesh(INDEX.cord), this.#mesh(INDEX.dura)];
    if (before && cord.intensity && range === this.range && meshes.every(Boolean)) { meshes.forEach((one, n) => one.tint(this.traces[n])); return; }
    if (Boolean(before) !== Boolean(cord.intensity)) { await this.#draw(); return; }
    const lib = await plotly();
    await lib.restyle(this.node, { intensity: [cord.intensity, dura.intensity], cmin: cord.cmin, cmax: cord.cmax }, [0, 1]);
  }
  /**
   * The mesh that Plotly made of a trace. `restyle` makes all meshes anew, which takes a second without a graphics processor; here only the buffer
   * that changes is filled. Null where this Plotly is built otherwise: then the long way is taken.
   */
  #mesh(index) {
    const scene = this.node._fullLayout?.scene?._scene, uid = this.node._fullData?.[index]?.uid, mesh = scene?.traces?.[uid]?.mesh, count = this.traces[index].i.length;
    if (!mesh?.triangleUVs?.update || !mesh.trianglePositions?.update || !scene.glplot?.redraw || mesh.triangleCount !== count) return null;
    const corners = ({ i, j, k }, each, size, buffer) => {
      const out = new Float32Array(3 * size * count);
      for (let t = 0, at = 0; t < count; t++) { at = each(i[t], out, at); at = each(j[t], out, at); at = each(k[t], out, at); }
      buffer.update(out);
      scene.glplot.redraw();
    };
    return { count,
      tint: (trace) => { const { intensity, cmin, cmax } = trace, over = 1 / (cmax - cmin); corners(trace, (v, out, at) => { out[at] = (intensity[v] - cmin) * over; return at + 2; }, 2, mesh.triangleUVs); },
      place: (trace) => { const { x, y, z } = trace; corners(trace, (v, out, at) => { out[at] = x[v]; out[at + 1] = y[v]; out[at + 2] = z[v]; return at + 3; }, 3, mesh.trianglePositions); } };
  }
  #paint() {
    const { field, weights } = this, [cord, dura] = this.traces;
    const fits = field && weights && field.sizes.cord === cord.x.length && field.sizes.dura === dura.x.length;
    const kept = cord.intensity?.length === cord.x.length && dura.intensity?.length === dura.x.length ? [cord.intensity, dura.intensity] : null;
    for (const one of [cord, dura]) for (const key of ["intensity", "colorscale", "cmin", "cmax", "colorbar", "showscale", "hovertemplate"]) delete one[key];
    dura.opacity = 0.28;
    if (!fits) return;
    const values = mix(field.matrix, weights, field.n);
    this.range = sticky(this.range, extent(values));
    const size = this.range, parts = [values.subarray(0, field.sizes.cord), values.subarray(field.sizes.cord)];
    if (kept) kept.forEach((array, n) => array.set(parts[n])); // Plotly reads the same arrays
    const [inner, outer] = kept ?? parts;
    const shared = { colorscale: SCALE, cmin: -size, cmax: size, hovertemplate: "%{intensity:.3~g} mV<extra>%{fullData.name}</extra>" };
    Object.assign(cord, shared, { intensity: inner, showscale: true, colorbar: { title: { text: "potential, mV", side: "right" }, thickness: 12, len: 0.6, x: 1 } });
    Object.assign(dura, shared, { intensity: outer, showscale: false });
    dura.opacity = 0.35;
  }
  /** As in the body, so that the height of the canal fills the picture. */
  #aspect(tall) {
    const size = (name) => { let low = Infinity, high = -Infinity; for (const trace of this.traces) for (const value of trace[name] ?? []) { low = Math.min(low, value); high = Math.max(high, value); } return high - low; };
    const most = 1.95;
    return { x: most * size("x") / tall, y: most * size("y") / tall, z: most };
  }
  async #draw() {
    const { header } = this.scene, tall = header.high - header.low, axis = { visible: false, showspikes: false };
    await chart(this.node, this.traces, { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "canal", scene: { uirevision: "canal", aspectmode: "manual", aspectratio: this.#aspect(tall), xaxis: axis, yaxis: axis, zaxis: axis, dragmode: "turntable",
      camera: { eye: { x: -0.8, y: -1.55, z: 0.45 }, up: { x: 0, y: 0, z: 1 }, projection: { type: "orthographic" } } } },
    `Spinal canal from ${num(header.low, "mm")} to ${num(header.high, "mm")} around the middle of ${header.vertebra}, seen from behind and the left: cord, dura, bone of the ventral half, ${header.leads.length} ${header.leads.length === 1 ? "lead" : "leads"}.`,
    // twice as many pixels as the screen has, which is Plotly's way, take four times as long without a graphics processor
    { plotGlPixelRatio: Math.min(2, Math.max(1, devicePixelRatio)), modeBarButtonsToRemove: ["tableRotation", "resetCameraLastSave3d", "hoverClosest3d", "pan3d", "orbitRotation"] });
    this.node.setAttribute("role", "group"); // its canvas can be focused
  }
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
