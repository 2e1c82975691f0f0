// Elements without innerHTML: what comes from a record is text and stays text.

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties (`class`, `data-…`, `aria-…`, `onclick` …), then children: nodes, texts, arrays, null. */
export function el(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style" && typeof value === "object") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Replaces what is in a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

let count = 0;
/** An id that no other element of the page has. */
export const fresh = (prefix = "e") => `${prefix}-${++count}`;

/** `fn`, at most once per animation frame, with the arguments of the last call. */
export function perFrame(fn) {
  let waiting = null;
  return (...args) => {
    const first = waiting === null;
    waiting = args;
    if (first) requestAnimationFrame(() => { const now = waiting; waiting = null; fn(...now); });
  };
}

/** `fn`, once nothing was called for some milliseconds. */
export function quiet(fn, ms = 250) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => fn(...args), ms); };
}

/** A number for a person, with its unit: `num(0.00345, "mA", 1e3)` is "3.45 mA". Nothing known is a dash. */
export function num(value, unit = "", scale = 1, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "not reached";
  const text = Number((value * scale).toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });
  return unit ? `${text}\u00a0${unit}` : text;
}

/** A day for a person: 2026-03-01 is "1 Mar 2026". */
export function day(iso) {
  if (!iso) return "–";
  const [y, m, d] = iso.slice(0, 10).split("-").map(Number);
  return new Date(Date.UTC(y, m - 1, d)).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}
