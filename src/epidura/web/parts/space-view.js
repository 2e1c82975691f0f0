// <space-view>: surfaces in space that can be turned. Words and scales are elements over the canvas; nothing is drawn unless something changed.
//
//   const view = document.createElement("space-view");
//   view.says = (seen) => `Spinal canal, ${seen}.`;              // the picture in words; `seen`: from where it is seen
//   view.scale = { colours: ["#08306b", …five], unit: "mV", title: "potential" };
//   view.put("cord", { name: "spinal cord", points, triangles, colour: "#e3b04b" }); // mm; put again to replace, null to remove; `edged`: has edges
//   view.put("dura", { points, triangles, colour: "#56b4e9", opacity: 0.28, layer: 1 }); // `layer` of clear ones: larger further out
//   view.labels = [{ at: [x, y, z], text: "T9", beside: 2, of: [0, 0, 0] }]; // mm; beside `at`, on the side that is away from `of`
//   view.look("cord", { values, opacity, shown }); view.most = 12;
//
// x is right, y ventral, z up. A drag turns, with Shift or the right button it moves; the wheel or two fingers zoom; a double click is the first view.

import { el, fill, num, perFrame } from "../lib/dom.js";
import { Painter, edged, normals } from "./space-paint.js";
import { under } from "./space-pick.js";

/** Degrees of the eye from behind towards the left, and upwards. */
const FIRST = [27, 14], VIEWS = [["first view", "first view", FIRST], ["behind", "from behind", [0, 0]], ["left", "from the left", [90, 0]]];
const ZOOM = [0.4, 12], SCALE_PX = 90, REST = 200, QUICK = 25, FINE = 2; // px; ms; ms; dots of the picture for a CSS pixel

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
/** Largest of 1, 2, 5, 10, 20 … that is not above. */
function round(most) { const ten = 10 ** Math.floor(Math.log10(most)); return [5, 2, 1].find((one) => one * ten <= most * 1.0001) * ten; }
const short = (value) => `${value < 0 ? "−" : ""}${Number(Math.abs(value).toPrecision(3))}`;

class SpaceView extends HTMLElement {
  #surfaces = new Map(); #labels = []; #painter = null; #off = null; #waiting = 0; #rest = 0; #quick = false; #fingers = new Map(); #says = () => ""; #scale = null;
  #eye = [...FIRST]; #zoom = 1; #pan = [0, 0]; #most = 0; #basis = null; #middle = [0, 0, 0]; #size = [1, 1, 1];
  words = el("div", { class: "words", "aria-hidden": "true" });
  ruler = el("div", { class: "ruler", "aria-hidden": "true" });
  bar = el("div", { class: "bar", "aria-hidden": "true", hidden: true });
  tip = el("div", { class: "tip", "aria-hidden": "true", hidden: true });
  notice = el("p", { class: "calm", role: "status", hidden: true });

  connectedCallback() {
    if (this.#off) return;
    this.#off = new AbortController();
    this.canvas = el("canvas", { tabindex: 0, role: "application", "aria-label": "in space: arrow keys turn, with Shift they move, plus and minus zoom, 0 is the first view" });
    const tool = (says, sign, act) => el("button", { type: "button", "aria-label": says, title: says, onclick: () => { act(); this.#later(); } }, sign);
    const tools = el("div", { class: "tools", role: "group", "aria-label": "view in space" }, VIEWS.map(([sign, says, eye]) => tool(says, sign, () => this.#reset(eye))),
      tool("nearer", "+", () => this.#nearer(1.25)), tool("further away", "−", () => this.#nearer(0.8)));
    this.setAttribute("role", "figure");
    this.stage = el("div", { class: "stage" }, this.canvas, this.words, this.bar, this.ruler, this.tip);
    fill(this, this.stage, tools, this.notice);
    this.tools = tools;
    this.#painter = new Painter(this.canvas);
    if (!this.#painter.gl) { this.#calm("This browser cannot draw in space. The view from behind and the slices show the same."); return; }
    this.#listen();
    this.#later();
  }
  disconnectedCallback() {
    this.#off?.abort();
    this.#off = null;
    cancelAnimationFrame(this.#waiting);
    clearTimeout(this.#rest);
    this.#waiting = this.#rest = 0;
    this.#painter?.drop();
    this.#painter = null;
    this.#fingers.clear();
  }
  /** Whether this browser can draw here. */
  get able() { return Boolean(this.#painter?.gl); }
  set says(make) { this.#says = make; this.#told(); }
  set scale(value) { this.#scale = value; }
  /** Value at the ends of the scale; 0: no scale is shown. */
  set most(value) { this.#most = value; this.#showBar(); this.#later(); }
  set labels(list) {
    this.#labels = list.map((one) => ({ ...one, node: el("span", { class: one.kind ?? "" }, one.text) }));
    fill(this.words, this.#labels.map((one) => one.node));
    this.#later();
  }
  put(name, surface) {
    if (!surface) this.#surfaces.delete(name);
    else {
      const { points, triangles, colour, opacity = 1, layer = 0, shown = true, name: called = name } = surface;
      const shape = surface.edged ? edged(surface) : { points, triangles: Uint32Array.from(triangles), normals: normals(points, triangles) };
      this.#surfaces.set(name, { ...shape, name: called, layer, colour: [...rgb(colour), opacity], shown, values: null });
    }
    this.#later();
  }
  look(name, { values, opacity, shown }) {
    const one = this.#surfaces.get(name);
    if (!one) return;
    if (values !== undefined) one.values = values;
    if (opacity !== undefined) one.colour[3] = opacity;
    if (shown !== undefined) one.shown = shown;
    this.#later();
  }
  /** What the picture is fitted to: lowest and highest corner, mm. */
  fit(low, high) { this.#middle = low.map((value, k) => (value + high[k]) / 2); this.#size = low.map((value, k) => high[k] - value); this.#later(); }

  // ---------------------------------------------------------------- hands

  #listen() {
    const { canvas } = this, { signal } = this.#off, on = (name, fn, more = {}) => canvas.addEventListener(name, fn, { signal, ...more });
    on("webglcontextlost", (event) => { event.preventDefault(); this.#calm("The picture in space was paused by the browser and comes back when it can."); });
    on("webglcontextrestored", () => { this.#calm(""); this.#painter.start(); this.#later(); });
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => this.#reset());
    on("wheel", (event) => { event.preventDefault(); this.#nearer(Math.exp(-clamp(event.deltaMode ? 30 * event.deltaY : event.deltaY, -200, 200) / 500), this.#at(event)); }, { passive: false });
    on("pointerdown", (event) => {
      if (event.button > 2 || this.#fingers.size > 1) return;
      canvas.setPointerCapture(event.pointerId);
      this.#fingers.set(event.pointerId, { at: this.#at(event), moves: event.shiftKey || event.button > 0 });
    });
    const point = perFrame((at) => this.#tip(at));
    on("pointermove", (event) => { if (this.#fingers.size) { this.#drag(event); point(null); } else point(this.#at(event)); });
    on("pointerleave", () => point(null));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, (event) => { this.#fingers.delete(event.pointerId); });
    on("keydown", (event) => this.#key(event));
    const watch = new ResizeObserver(() => this.#later());
    watch.observe(this.stage);
    signal.addEventListener("abort", () => watch.disconnect());
  }
  /** CSS pixels from the middle of the canvas, right and up. */
  #at(event) { const box = this.canvas.getBoundingClientRect(); return [event.clientX - box.left - box.width / 2, box.top + box.height / 2 - event.clientY]; }
  #drag(event) {
    const finger = this.#fingers.get(event.pointerId);
    if (!finger) return;
    const to = this.#at(event), [dx, dy] = [to[0] - finger.at[0], to[1] - finger.at[1]], other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (one) => Math.hypot(one[0] - other.at[0], one[1] - other.at[1]) || 1, between = [(to[0] + other.at[0]) / 2, (to[1] + other.at[1]) / 2];
      this.#move(dx / 2, dy / 2);
      this.#nearer(apart(to) / apart(finger.at), between);
    } else if (finger.moves) this.#move(dx, dy);
    else this.#turn(0.4 * dx, -0.4 * dy);
    finger.at = to;
  }
  /** What is under the pointer, with its value. */
  #tip(at) {
    const found = at && this.#basis && this.#painter?.gl ? under(this.#surfaces.values(), this.#basis, ...at.map((value, k) => (value - this.#pan[k]) / this.#basis.px)) : [];
    this.tip.hidden = !found.length;
    if (!found.length) return;
    fill(this.tip, found.map(({ name, value }) => el("div", {}, value === null ? name : `${name} ${num(value, this.#scale.unit)}`)));
    const left = at[0] > 0;
    this.tip.style.transform = `translate(${at[0] + (left ? -14 : 14)}px, ${-at[1]}px) translate(${left ? "-100%" : "0"}, -50%)`;
  }
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (arrow && event.shiftKey) this.#move(20 * arrow[0], 20 * arrow[1]);
    else if (arrow) this.#turn(5 * arrow[0], -5 * arrow[1]);
    else if (event.key === "+" || event.key === "=") this.#nearer(1.15);
    else if (event.key === "-" || event.key === "_") this.#nearer(1 / 1.15);
    else if (event.key === "0" || event.key === "Home") this.#reset();
    else return;
    event.preventDefault();
  }
  #turn(left, up) {
    this.#eye = [((this.#eye[0] + left + 540) % 360) - 180, clamp(this.#eye[1] + up, -89, 89)];
    this.#told();
    this.#later();
  }
  #move(right, up) { this.#pan = [this.#pan[0] + right, this.#pan[1] + up]; this.#later(); }
  /** What lies under `at` stays there. */
  #nearer(by, at = [0, 0]) {
    const zoom = clamp(this.#zoom * by, ...ZOOM), real = zoom / this.#zoom;
    this.#zoom = zoom;
    this.#pan = this.#pan.map((value, k) => at[k] - (at[k] - value) * real);
    this.#later();
  }
  #reset(eye = FIRST) { this.#eye = [...eye]; this.#zoom = 1; this.#pan = [0, 0]; this.#told(); this.#later(); }

  // ---------------------------------------------------------------- words

  #told() {
    const [left, up] = this.#eye, side = left > 0 ? "left" : "right", off = Math.abs(left);
    const round_ = off < 10 ? "behind" : off < 80 ? `behind and the ${side}` : off <= 100 ? `the ${side}` : off < 170 ? `the front and the ${side}` : "the front";
    this.setAttribute("aria-label", this.#says(`seen from ${round_}${up > 30 ? ", from above" : up < -30 ? ", from below" : ""}`));
  }
  #calm(words) {
    fill(this.notice, words);
    this.notice.hidden = !words;
    this.stage.hidden = this.tools.hidden = Boolean(words);
  }
  #showBar() {
    this.bar.hidden = !this.#most;
    if (!this.#most) return;
    const { colours, unit, title } = this.#scale, step = round(this.#most / 1.9) / 2, ticks = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((n) => n * step).filter((value) => Math.abs(value) <= this.#most);
    fill(this.bar, el("span", { class: "title" }, `${title}, ${unit}`), el("div", { class: "colours", style: { background: `linear-gradient(to top, ${colours.join(", ")})` } },
      ticks.map((value) => el("span", { class: "tick", style: { bottom: `${50 + (50 * value) / this.#most}%` } }, short(value)))));
  }

  // ---------------------------------------------------------------- the picture

  /** With the next frame. Where drawing is slow, edges become smooth once nothing changes any more. */
  #later() {
    this.tip.hidden = true;
    if (this.#waiting || !this.#painter?.gl) return;
    clearTimeout(this.#rest);
    this.#waiting = requestAnimationFrame(() => {
      this.#waiting = 0;
      this.#draw(this.#quick ? FINE : 1);
      if (!this.#quick) this.#rest = setTimeout(() => requestAnimationFrame(() => { if (!this.#waiting && this.#painter) this.#draw(FINE); }), REST);
    });
  }
  #draw(dots) {
    const { canvas } = this, [wide, tall] = [this.stage.clientWidth, this.stage.clientHeight];
    if (!wide || !tall || !this.notice.hidden) return;
    const [w, h] = [Math.round(wide * dots), Math.round(tall * dots)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const [a, b] = this.#eye.map((one) => (one * Math.PI) / 180), [sa, ca, sb, cb] = [Math.sin(a), Math.cos(a), Math.sin(b), Math.cos(b)];
    const right = [ca, -sa, 0], up = [sa * sb, ca * sb, cb], eye = [-sa * cb, -ca * cb, sb]; // to the right and up in the picture, and towards the eye
    const deep = Math.hypot(...this.#size) + 1, px = this.#zoom * this.#fitted(wide, tall); // per mm
    const pan = [this.#pan[0] / wide * 2, this.#pan[1] / tall * 2];
    const surfaces = [...this.#surfaces.values()].sort((one, two) => one.layer - two.layer), turn = [0, 1, 2].flatMap((k) => [right[k], up[k], eye[k]]);
    if (this.#scale) this.#painter.stops = this.#scale.colours.map(rgb);
    this.#basis = { right, up, eye, middle: this.#middle, px };
    this.#painter.keep(surfaces);
    this.#painter.draw(surfaces, { turn, middle: this.#middle, fit: [2 * px / wide, 2 * px / tall, 1 / deep], pan, most: this.#most });
    if (dots === FINE) this.#painter.drawn(QUICK, (quick) => { this.#quick = quick; });
    this.toggleAttribute("smooth", dots === FINE);
    const dot = (one, two) => one[0] * two[0] + one[1] * two[1] + one[2] * two[2];
    for (const { at, beside = 0, of = this.#middle, node } of this.#labels) {
      const from = at.map((value, k) => value - this.#middle[k]), side = beside && (dot(at.map((value, k) => value - of[k]), right) < -0.3 ? -1 : 1);
      const [left, top] = [wide / 2 + this.#pan[0] + px * (dot(from, right) + side * beside), tall / 2 - this.#pan[1] - px * dot(from, up)];
      node.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px) translate(${side < 0 ? "-100%" : side ? "0" : "-50%"}, -50%)`;
    }
    const mm = round(SCALE_PX / px);
    this.ruler.style.width = `${(mm * px).toFixed(1)}px`;
    this.ruler.textContent = `${mm} mm`;
  }
  /** Pixels per mm at which the first view fills the picture. */
  #fitted(wide, tall) {
    const [a, b] = FIRST.map((one) => (one * Math.PI) / 180), [x, y, z] = this.#size, across = x * Math.cos(a) + y * Math.sin(a), deep = x * Math.sin(a) + y * Math.cos(a);
    return Math.min((0.94 * tall) / (z * Math.cos(b) + deep * Math.sin(b)), (0.62 * wide) / across);
  }
}
customElements.define("space-view", SpaceView);
