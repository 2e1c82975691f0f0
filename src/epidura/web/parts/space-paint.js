// What a <space-view> draws with: surfaces on a canvas by WebGL2, without a library. Knows nothing of the page around the canvas.

const VERTEX = `#version 300 es
in vec3 point;
in vec3 normal;
in float value;
uniform mat3 turn;
uniform vec3 middle, fit; // mm; picture per mm across, up and in depth
uniform vec2 pan;
out vec3 facing;
out float v;
void main() {
  vec3 at = turn * (point - middle);
  facing = turn * normal;
  v = value;
  gl_Position = vec4(at.xy * fit.xy + pan, -at.z * fit.z, 1.0);
}`;

// Light comes from behind the eye, a little from above and the left. A clear surface is denser where it is seen on edge.
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 facing;
in float v;
uniform vec4 colour;
uniform vec3 scale[5];
uniform float most; // value at the ends of the scale; 0: no values
out vec4 seen;
void main() {
  vec3 n = normalize(gl_FrontFacing ? facing : -facing);
  float lit = max(dot(n, vec3(-0.31, 0.42, 0.85)), 0.0), edge = max(abs(n.z), 0.25);
  vec3 base = colour.rgb;
  float shade = 0.5 + 0.54 * lit;
  if (most > 0.0 && v < 1e20) {
    float at = clamp(v / most * 0.5 + 0.5, 0.0, 1.0) * 4.0;
    int i = int(min(floor(at), 3.0));
    base = mix(scale[i], scale[i + 1], at - float(i));
    shade = 0.72 + 0.3 * lit; // colours that mean something are shaded less
  }
  seen = vec4(min(base * shade, 1.0), colour.a < 1.0 ? 1.0 - pow(1.0 - colour.a, 1.0 / edge) : 1.0);
}`;

const UNKNOWN = 1e30; // stands for NaN, which interpolates to whatever a driver likes

/** Normals of the points of a surface: of the triangles around each, by their area. */
export function normals(points, triangles) {
  const out = new Float32Array(points.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const n = across(points, triangles[t], triangles[t + 1], triangles[t + 2]);
    for (let k = 0; k < 3; k++) { const at = 3 * triangles[t + k]; out[at] += n[0]; out[at + 1] += n[1]; out[at + 2] += n[2]; }
  }
  return out;
}

function across(points, a, b, c) {
  const [i, j, k] = [3 * a, 3 * b, 3 * c], ux = points[j] - points[i], uy = points[j + 1] - points[i + 1], uz = points[j + 2] - points[i + 2];
  const vx = points[k] - points[i], vy = points[k + 1] - points[i + 1], vz = points[k + 2] - points[i + 2];
  return [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
}

/** The same surface with edges: each triangle gets points of its own, with normals that look only to neighbours that bend less than 45 degrees. */
export function edged({ points, triangles }) {
  const faces = [], around = new Map(), unit = ([x, y, z]) => { const size = Math.hypot(x, y, z) || 1; return [x / size, y / size, z / size]; };
  for (let t = 0; t < triangles.length; t += 3) {
    const n = across(points, triangles[t], triangles[t + 1], triangles[t + 2]);
    faces.push({ n, unit: unit(n) });
    for (let k = 0; k < 3; k++) around.set(triangles[t + k], [...(around.get(triangles[t + k]) ?? []), t / 3]);
  }
  const out = { points: new Float32Array(3 * triangles.length), normals: new Float32Array(3 * triangles.length), triangles: Uint32Array.from(triangles, (_, i) => i) };
  for (let at = 0; at < triangles.length; at++) {
    const own = faces[Math.floor(at / 3)].unit;
    for (const face of around.get(triangles[at])) {
      const { n, unit: other } = faces[face];
      if (own[0] * other[0] + own[1] * other[1] + own[2] * other[2] > 0.7) for (let k = 0; k < 3; k++) out.normals[3 * at + k] += n[k];
    }
    for (let k = 0; k < 3; k++) out.points[3 * at + k] = points[3 * triangles[at] + k];
  }
  return out;
}

/** Draws surfaces `{points, normals, triangles, colour: [r, g, b, opacity], values, shown}` on a canvas; `gl` is null where a browser cannot. */
export class Painter {
  #program = null; #where = {}; #held = new Map(); #stops = new Float32Array(15);
  constructor(canvas) {
    this.gl = canvas.getContext("webgl2", { antialias: false, alpha: true, powerPreference: "low-power" });
    if (this.gl) this.start();
  }
  /** Five colours of the diverging scale, each [r, g, b] from 0 to 1. */
  set stops(colours) { this.#stops = Float32Array.from(colours.flat()); }
  /** After the context was made, or made anew. */
  start() {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ["point", "normal", "value"].forEach((name, n) => gl.bindAttribLocation(program, n, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(`the picture in space could not be prepared: ${gl.getProgramInfoLog(program)}`);
    this.#program = program;
    this.#where = Object.fromEntries(["turn", "middle", "fit", "pan", "colour", "scale", "most"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.#held.clear();
  }
  /** Frees what was held of surfaces that are no more. */
  keep(surfaces) { for (const one of [...this.#held.keys()]) if (!surfaces.includes(one)) { this.#free(this.#held.get(one)); this.#held.delete(one); } }
  #free({ shape, buffers }) { buffers.forEach((one) => this.gl.deleteBuffer(one)); this.gl.deleteVertexArray(shape); }
  #hold(surface) {
    const { gl } = this, found = this.#held.get(surface);
    if (found) return found;
    const shape = gl.createVertexArray(), buffer = (target, data, use = gl.STATIC_DRAW) => { const made = gl.createBuffer(); gl.bindBuffer(target, made); gl.bufferData(target, data, use); return made; };
    gl.bindVertexArray(shape);
    const attribute = (at, size, made) => { gl.enableVertexAttribArray(at); gl.vertexAttribPointer(at, size, gl.FLOAT, false, 0, 0); return made; };
    const buffers = [attribute(0, 3, buffer(gl.ARRAY_BUFFER, surface.points)), attribute(1, 3, buffer(gl.ARRAY_BUFFER, surface.normals)), buffer(gl.ELEMENT_ARRAY_BUFFER, surface.triangles)];
    const made = { shape, buffers, values: null, buffer, attribute };
    this.#held.set(surface, made);
    return made;
  }
  /** A recolouring is this: one buffer is filled. */
  #values(surface, held) {
    if (held.values === surface.values || !surface.values) return;
    const { gl } = this, values = new Float32Array(surface.values);
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) values[i] = UNKNOWN;
    if (held.buffers[3]) { gl.bindBuffer(gl.ARRAY_BUFFER, held.buffers[3]); gl.bufferSubData(gl.ARRAY_BUFFER, 0, values); } else held.buffers.push(held.attribute(2, 1, held.buffer(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW)));
    held.values = surface.values;
  }
  /**
   * A picture. `surfaces`: clear ones from the innermost to the outermost: the far sides of all are drawn from the outermost inwards, then the near
   * sides outwards, which is the right order for tubes in each other from wherever they are seen. `view`: {turn, middle, fit, pan}; `most`: see above.
   */
  draw(surfaces, { turn, middle, fit, pan, most }) {
    const { gl } = this;
    if (gl.isContextLost()) return;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.#program);
    const at = this.#where;
    gl.uniformMatrix3fv(at.turn, false, turn);
    gl.uniform3fv(at.middle, middle);
    gl.uniform3fv(at.fit, fit);
    gl.uniform2fv(at.pan, pan);
    gl.uniform3fv(at.scale, this.#stops);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const one = (surface) => {
      const held = this.#hold(surface);
      gl.bindVertexArray(held.shape);
      this.#values(surface, held);
      gl.uniform4fv(at.colour, surface.colour);
      gl.uniform1f(at.most, surface.values ? most : 0);
      gl.drawElements(gl.TRIANGLES, surface.triangles.length, gl.UNSIGNED_INT, 0);
    };
    const shown = surfaces.filter((surface) => surface.shown !== false && surface.triangles.length), clear = shown.filter((surface) => surface.colour[3] < 1);
    gl.disable(gl.BLEND);
    gl.disable(gl.CULL_FACE);
    shown.filter((surface) => surface.colour[3] >= 1).forEach(one);
    gl.enable(gl.BLEND);
    gl.enable(gl.CULL_FACE);
    gl.depthMask(false);
    gl.cullFace(gl.FRONT);
    [...clear].reverse().forEach(one);
    gl.cullFace(gl.BACK);
    clear.forEach(one);
    gl.bindVertexArray(null);
  }
  /** Tells whether what was asked for is drawn within some milliseconds, by a fence: `finish` does not wait, and reading pixels stops the page. */
  drawn(within, tell) {
    const { gl } = this, from = performance.now(), fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    if (fence) setTimeout(() => { if (!gl.isContextLost()) tell(performance.now() - from < 2 * within && gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED); gl.deleteSync(fence); }, within);
  }
  /** Gives the memory of the graphics processor back. */
  drop() { this.gl?.getExtension("WEBGL_lose_context")?.loseContext(); }
}
