// What lies under a point of a picture in space, found without the graphics processor.

/**
 * Names of surfaces from the nearest to the first that cannot be looked through, with their values there (null: none is known).
 * `basis`: {right, up, eye, middle}, unit vectors and mm; `x`, `y`: mm from the middle of the picture.
 */
export function under(surfaces, { right, up, eye, middle }, x, y) {
  const hits = [], dot = (one, two) => one[0] * two[0] + one[1] * two[1] + one[2] * two[2], off = [right, up, eye].map((axis) => dot(axis, middle));
  for (const { name, points, triangles, values, colour, shown } of surfaces) {
    if (shown === false) continue;
    const n = points.length / 3, u = new Float32Array(n), v = new Float32Array(n), near = (i) => points[3 * i] * eye[0] + points[3 * i + 1] * eye[1] + points[3 * i + 2] * eye[2] - off[2];
    for (let i = 0, at = 0; i < n; i++, at += 3) {
      u[i] = points[at] * right[0] + points[at + 1] * right[1] + points[at + 2] * right[2] - off[0] - x;
      v[i] = points[at] * up[0] + points[at + 1] * up[1] + points[at + 2] * up[2] - off[1] - y;
    }
    let best = null;
    for (let t = 0; t < triangles.length; t += 3) {
      const a = triangles[t], b = triangles[t + 1], c = triangles[t + 2];
      const wa = u[b] * v[c] - u[c] * v[b], wb = u[c] * v[a] - u[a] * v[c], wc = u[a] * v[b] - u[b] * v[a], whole = wa + wb + wc;
      if (!whole || wa * whole < 0 || wb * whole < 0 || wc * whole < 0) continue;
      const depth = (wa * near(a) + wb * near(b) + wc * near(c)) / whole;
      if (best && depth <= best.depth) continue;
      const value = values ? (wa * values[a] + wb * values[b] + wc * values[c]) / whole : null;
      best = { name, depth, value: Number.isFinite(value) ? value : null, solid: colour[3] >= 1 };
    }
    if (best) hits.push(best);
  }
  hits.sort((one, two) => two.depth - one.depth);
  const last = hits.findIndex((one) => one.solid);
  return last < 0 ? hits : hits.slice(0, last + 1);
}
