// Axial and sagittal slices of the field: potential, or what drives fibres along the spine.

import { floats, Latest } from "../lib/api.js";
import { chart, plotly } from "../lib/charts.js";
import { num } from "../lib/dom.js";
import { SCALE, extent, mix, sticky } from "./plan-space.js";

const LINE = { cord: "#7a5200", "grey-matter": "#7a5200", "dura-inner": "#1f6f9e", "dura-outer": "#1f6f9e", canal: "#5c5340" };
export const WHAT = { potential: { name: "Potential", unit: "mV" }, second: { name: "Activating function", unit: "mV/mm²" } };

/** One slice; `ask(plane, at)` gives the body of the request. */
export class Slice {
  #latest = new Latest();
  constructor(node, plane, ask) { this.node = node; this.plane = plane; this.ask = ask; }
  /** Another place of the plane, mm. */
  async at(place) {
    const found = await this.#latest.run((signal) => floats("POST", "/plan/slice", { body: this.ask(this.plane, place), signal }));
    if (!found) return;
    const { header, numbers } = found, n = header.across[2] * header.up[2], all = header.contacts.length * n;
    let at = 2 * all;
    const lines = header.lines.map((line) => ({ name: line.name, points: numbers.subarray(at, (at += 2 * line.points)) }));
    this.data = { header, n, potential: numbers.subarray(0, all), second: numbers.subarray(all, 2 * all), lines };
    await this.show();
  }
  /** `weights`: mA into tissue at each contact; `what`: potential or second; `words`: which program at which amplitude. */
  async set(weights, what, words) {
    Object.assign(this, { weights, what, words });
    if (this.data) await this.show(true);
  }
  forget() { this.#latest.stop(); this.data = null; }
  async show(again = false) {
    const { header, n, lines } = this.data, [columns, rows] = [header.across[2], header.up[2]];
    // V/A times mA is mV; V/A/m² times mA is mV/m², a millionth of it per mm²
    const values = mix(this.data[this.what], this.what === "second" ? this.weights.map((w) => w * 1e-6) : this.weights, n);
    const z = Array.from({ length: rows }, (_, row) => values.subarray(row * columns, (row + 1) * columns));
    const shown = `${this.what} ${this.words.split(" at ")[0]} ${header.at}`; // another picture has a range of its own
    const size = (this.range = sticky(this.shown === shown ? this.range : 0, extent(values, 0.02)));
    this.shown = shown;
    const step = { cmin: -size, cmax: size };
    if (again && this.drawn === this.data) {
      const lib = await plotly();
      await lib.restyle(this.node, { z: [z, z], zmin: -size, zmax: size, "contours.start": -size, "contours.end": size, "contours.size": size / 4, "colorbar.title.text": WHAT[this.what].unit,
        hovertemplate: this.#hover() }, [0, 1]);
      this.node.setAttribute("aria-label", this.#says(values));
      return;
    }
    const span = ([low, high, count]) => ({ low, step: (high - low) / (count - 1) });
    const u = span(header.across), v = span(header.up), grid = { x0: u.low, dx: u.step, y0: v.low, dy: v.step };
    const traces = [{ type: "heatmap", z, ...grid, zmin: step.cmin, zmax: step.cmax, colorscale: SCALE, zsmooth: "best", hovertemplate: this.#hover(), colorbar: { title: { text: WHAT[this.what].unit, side: "top" }, thickness: 12 } },
      { type: "contour", z, ...grid, autocontour: false, contours: { start: -size, end: size, size: size / 4, coloring: "none", showlabels: true, labelfont: { size: 10, color: "#222" } }, line: { color: "rgba(30,30,30,.55)", width: 0.8 }, showscale: false, hoverinfo: "skip" },
      ...lines.map(({ name, points }) => {
        const lead = name.startsWith("lead") || name.startsWith("contact"), x = points.filter((_, i) => i % 2 === 0), y = points.filter((_, i) => i % 2 === 1);
        return { type: "scatter", mode: "lines", name, x, y, hoverinfo: "skip", line: { color: lead ? "#222" : LINE[name], width: lead ? 1.2 : 1.6, dash: name === "grey-matter" ? "dot" : "solid" }, fill: name.startsWith("contact") ? "toself" : "none", fillcolor: "rgba(40,40,40,.75)" };
      })];
    const [across, up] = this.plane === "axial" ? ["left – right, mm", "back – front, mm"] : ["back – front, mm", "along the spine, mm"];
    await chart(this.node, traces, { showlegend: false, margin: { l: 50, r: 8, t: 8, b: 42 }, xaxis: { title: { text: across }, constrain: "domain", zeroline: false }, yaxis: { title: { text: up }, zeroline: false, ...(this.plane === "axial" ? { scaleanchor: "x" } : {}) } }, this.#says(values), { displayModeBar: false });
    this.drawn = this.data;
  }
  #hover() { return `%{z:.3~g} ${WHAT[this.what].unit}<br>(%{x:.1f}, %{y:.1f}) mm<extra></extra>`; }
  #says(values) {
    const seen = values.filter(Number.isFinite), { unit, name } = WHAT[this.what];
    const low = seen.reduce((a, b) => Math.min(a, b), 0), high = seen.reduce((a, b) => Math.max(a, b), 0);
    return `${name} of ${this.words}, ${this.plane} slice at ${num(this.data.header.at, "mm")}: from ${num(low, unit)} to ${num(high, unit)}.`;
  }
}
