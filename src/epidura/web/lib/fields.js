// Form fields with a label, a unit and a place for what is wrong. All of them have `.input`, `.value` and `.wrong(text)`.

import { el, fill, fresh } from "./dom.js";

/** Puts a control into a labelled field. `help` explains, `unit` stands behind the control. */
export function field(label, control, { help = "", unit = "", wide = false, mark = null } = {}) {
  const id = control.id || (control.id = fresh("f"));
  const helper = help ? el("span", { class: "help", id: `${id}-help` }, help) : null;
  const problem = el("span", { class: "problem", id: `${id}-problem`, role: "alert" });
  control.setAttribute("aria-describedby", [helper && `${id}-help`, `${id}-problem`].filter(Boolean).join(" "));
  const node = el("div", { class: `field${wide ? " wide" : ""}` }, el("label", { for: id }, label, mark), el("div", { class: "control" }, control, unit && el("span", { class: "unit" }, unit)),
    helper, problem);
  node.input = control;
  node.wrong = (text) => {
    fill(problem, text || "");
    if (text) control.setAttribute("aria-invalid", "true"); else control.removeAttribute("aria-invalid");
  };
  Object.defineProperty(node, "value", { get: () => control.value, set: (v) => { control.value = v; } });
  return node;
}

export const text = (label, { value = "", oninput, onchange, required, type = "text", autocomplete, maxlength, inputmode, ...rest } = {}) =>
  field(label, el("input", { type, value, oninput, onchange, required, autocomplete, maxlength, inputmode }), rest);

export const area = (label, { value = "", oninput, rows = 3, maxlength, ...rest } = {}) =>
  field(label, el("textarea", { value, oninput, rows, maxlength }), { wide: true, ...rest });

/** A number with its unit; `.number` is null while nothing can be read. */
export function number(label, { value = "", min, max, step = "any", oninput, onchange, required, ...rest } = {}) {
  const node = field(label, el("input", { type: "number", value, min, max, step, oninput, onchange, required, inputmode: "decimal" }), rest);
  Object.defineProperty(node, "number", { get: () => (node.input.value === "" || Number.isNaN(node.input.valueAsNumber) ? null : node.input.valueAsNumber) });
  return node;
}

/** `options`: strings, or {value, label, disabled}. */
export function select(label, options, { value, onchange, required, ...rest } = {}) {
  const all = options.map((one) => (typeof one === "string" ? { value: one, label: one } : one));
  const control = el("select", { onchange, required }, all.map((one) => el("option", { value: one.value, disabled: one.disabled }, one.label)));
  if (value !== undefined) control.value = value;
  return field(label, control, rest);
}

export function check(label, { checked = false, onchange, help = "" } = {}) {
  const id = fresh("f");
  const control = el("input", { type: "checkbox", id, checked, onchange });
  const node = el("div", { class: "field check" }, control, el("label", { for: id }, label), help && el("span", { class: "help" }, help));
  node.input = control;
  Object.defineProperty(node, "value", { get: () => control.checked, set: (v) => { control.checked = v; } });
  return node;
}

/** A few choices side by side, as radio buttons; `onchange(value)`. */
export function choice(label, options, { value, onchange, help = "" } = {}) {
  const name = fresh("c");
  const all = options.map((one) => (typeof one === "string" ? { value: one, label: one } : one));
  const node = el("fieldset", { class: "choice" }, el("legend", {}, label), el("div", { class: "segments" }, all.map((one) => {
    const id = fresh("r");
    return [el("input", { type: "radio", id, name, value: one.value, checked: one.value === value, disabled: one.disabled, onchange: () => onchange?.(one.value) }),
      el("label", { for: id, title: one.title }, one.label)];
  })), help && el("span", { class: "help" }, help));
  Object.defineProperty(node, "value", { get: () => node.querySelector("input:checked")?.value ?? null,
    set: (v) => { for (const one of node.querySelectorAll("input")) one.checked = one.value === v; } });
  return node;
}

/** A button that is disabled while its work runs, and says what went wrong in `where` (a node). */
export function button(label, onclick, { kind = "", where = null, title, type = "button", ...rest } = {}) {
  const node = el("button", { type, class: kind, title, ...rest }, label);
  if (onclick) node.addEventListener("click", async (event) => {
    node.disabled = true;
    try { await onclick(event); } catch (failure) { if (failure.name !== "AbortError") complain(where, failure); } finally { node.disabled = false; }
  });
  return node;
}

/** Says what went wrong, in words: problem, what was got, what is allowed, what to do. */
export function complain(where, failure) {
  const error = failure.error ?? { where: "", problem: failure.message, got: null, allowed: "", hint: "", missing: [] };
  const box = el("div", { class: "notice bad", role: "alert" },
    el("strong", {}, [error.where, error.problem].filter(Boolean).join(": ")),
    error.got !== null && error.got !== "" && el("div", {}, `given: ${error.got}`), error.allowed && el("div", {}, `allowed: ${error.allowed}`),
    error.missing?.length ? el("ul", {}, error.missing.map((one) => el("li", {}, one))) : null, error.hint && el("div", { class: "help" }, error.hint));
  if (where) fill(where, box);
  else { console.error(failure); document.dispatchEvent(new CustomEvent("epidura-notice", { detail: box })); }
  return box;
}
