// A form made of the JSON schema of an event, with hints for order and wording.
//
//   const form = new Form(schema, {hints, lists, value, drawing, widgets});
//   node.append(form.node); form.value → what is sent; form.wrong("findings.tried[0].end", "before the treatment began")
//
// Hints of a field: label, help, unit, scale (what is shown / what is sent: 100 for a share shown in %), list (name of a list of choices, or the list),
// more (behind a summary, whose words are the `rest` of the object), hide, value (default), rows, lines, fields (of an object), order, widget (name of one of `widgets`), depends (a sibling that
// chooses among `list` by its key `by`), key and item (headings of a mapping), others (what a button fills in where nothing was said).

import { el, fill, fresh } from "./dom.js";
import { area, choice, number, select, text } from "./fields.js";

/** `leg` of "left-leg" and so on, for a person. */
export const pretty = (name) => String(name).replaceAll(/[-_]/g, " ").trim();
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const label = (name, hint) => hint.label ?? capital(pretty(name).replace(/ (mA|ohm|nrs|vas)$/, (_, u) => ` (${{ ohm: "Ω", nrs: "0 to 10", vas: "mm" }[u] ?? u})`));
const today = () => { const now = new Date(); return new Date(now - now.getTimezoneOffset() * 60000).toISOString().slice(0, 10); };

export class Form {
  /** `options`: hints {fields, order}, lists, value, drawing (of the body map), widgets, and `more` for what widgets need. */
  constructor(schema, options = {}) {
    this.options = { lists: {}, widgets: {}, hints: {}, ...options };
    this.defs = schema.$defs ?? {};
    this.root = this.#object(schema, this.options.hints, this.options.value ?? {}, "", true);
    this.node = el("div", { class: "form" }, this.root.node);
    this.node.addEventListener("input", () => this.options.onchange?.());
    this.node.addEventListener("change", () => this.options.onchange?.());
  }
  get value() { return this.root.get() ?? {}; }
  /** Says what is wrong at the field that a path such as `leads[1].serial` names, or at the nearest one that is there. False if there is none. */
  wrong(path, words) {
    const done = this.root.wrong(path.split(/[.[\]]+/).filter(Boolean), words);
    const first = this.node.querySelector('[aria-invalid="true"], .problem:not(:empty)');
    first?.closest("details")?.setAttribute("open", "");
    (first?.matches("input, select, textarea") ? first : first?.parentElement?.querySelector("input, select, textarea"))?.focus();
    return done;
  }
  clear() { this.root.clear(); }
  /** Whether everything that is needed is there; says where not. */
  check() { this.clear(); const good = this.root.check(); if (!good) this.node.querySelector('[aria-invalid="true"]')?.focus(); return good; }

  #resolve(schema) {
    let found = schema;
    if (found.$ref) found = { ...this.defs[found.$ref.split("/").at(-1)], ...found, $ref: undefined };
    if (found.allOf?.length === 1) found = { ...this.#resolve(found.allOf[0]), ...found, allOf: undefined };
    if (found.anyOf) {
      const some = found.anyOf.filter((one) => one.type !== "null");
      if (some.length === 1) return { ...found, ...this.#resolve(some[0]), description: found.description ?? some[0].description, default: found.default, anyOf: undefined, optional: some.length < found.anyOf.length };
    }
    return found;
  }
  #list(hint) { return (Array.isArray(hint.list) ? hint.list : this.options.lists[hint.list]) ?? null; }

  #build(name, raw, hint, value, needed) {
    const schema = this.#resolve(raw);
    const help = hint.help ?? "";
    if (hint.widget) return this.options.widgets[hint.widget]({ name, schema, hint, value, needed, label: label(name, hint), form: this });
    const list = this.#list(hint);
    if (schema.enum || (list && schema.type === "string" && !hint.suggest)) return this.#choose(name, schema, hint, value, needed, list);
    if (schema.type === "boolean") return this.#yesNo(name, schema, hint, value, needed);
    if (schema.type === "number" || schema.type === "integer") return this.#number(name, schema, hint, value, needed);
    if (schema.type === "array") return this.#array(name, schema, hint, value, needed, list);
    if (schema.type === "object" && schema.properties) return this.#object(schema, hint, value ?? {}, label(name, hint), false, needed);
    if (schema.type === "object") return this.#mapping(name, schema, hint, value, list);
    if (schema.format === "quantity") return this.#quantity(name, schema, hint, value, needed);
    if (schema.format === "date") return leaf(text(label(name, hint), { type: "date", value: value ?? "", help, required: needed }), needed);
    if (hint.rows || (schema.maxLength ?? 0) > 1000) return leaf(area(label(name, hint), { value: value ?? hint.value ?? schema.default ?? "", help, rows: hint.rows ?? 2, maxlength: schema.maxLength }), needed);
    const field = text(label(name, hint), { value: value ?? hint.value ?? schema.default ?? "", help, required: needed, maxlength: schema.maxLength });
    if (list) suggest(field, list);
    return leaf(field, needed);
  }

  #choose(name, schema, hint, value, needed, list) {
    const all = (list ?? schema.enum.map((one) => ({ id: one, name: one === "" ? "–" : pretty(one) }))).map((one) => ({ value: one.id, label: one.name, title: one.words ?? one.definition }));
    if (needed && all.length <= 4 && !hint.depends) {
      const field = choice(label(name, hint), all, { value: value ?? hint.value ?? schema.default, help: hint.help });
      return radio(field, needed);
    }
    const start = value ?? hint.value ?? schema.default ?? "";
    if (start && !all.some((one) => one.value === start)) all.push({ value: start, label: pretty(start) }); // what an earlier entry said stays
    const options = all.some((one) => one.value === "") ? all : [{ value: "", label: hint.none ?? (needed ? "choose …" : "not said") }, ...all];
    const field = select(label(name, hint), options, { value: start, help: hint.help ?? "", required: needed });
    const part = leaf(field, needed);
    if (hint.depends) part.follow = (sibling) => {
      const rows = (list ?? []).filter((one) => one[hint.by] === sibling.get());
      const was = field.value || start;
      fill(field.input, el("option", { value: "" }, hint.none ?? "not known yet"), rows.filter((one) => one.id).map((one) => el("option", { value: one.id, title: one.definition }, one.name)));
      field.value = rows.some((one) => one.id === was) ? was : "";
      field.hidden = !rows.some((one) => one.id);
    };
    return part;
  }

  #yesNo(name, schema, hint, value, needed) {
    const start = value ?? hint.value ?? schema.default;
    const options = [{ value: "yes", label: hint.yes ?? "yes" }, { value: "no", label: hint.no ?? "no" }, ...(schema.optional ? [{ value: "", label: "not said" }] : [])];
    const field = choice(label(name, hint), options, { value: start === true ? "yes" : start === false ? "no" : schema.optional ? "" : null, help: hint.help });
    const part = radio(field, needed);
    const inner = part.get;
    part.get = () => ({ yes: true, no: false })[inner()] ?? undefined;
    return part;
  }

  #number(name, schema, hint, value, needed) {
    const scale = hint.scale ?? 1, shown = (v) => (v === null || v === undefined || v === "" ? "" : Number((v * scale).toPrecision(12)));
    const from = schema.minimum ?? schema.exclusiveMinimum, to = schema.maximum ?? schema.exclusiveMaximum;
    const low = hint.min ?? (from === undefined ? undefined : from * scale), high = hint.max ?? (to === undefined ? undefined : to * scale);
    const field = number(label(name, hint), { value: shown(value ?? hint.value ?? schema.default), min: low, max: high, unit: hint.unit ?? "", help: hint.help ?? "", required: needed,
      step: schema.type === "integer" ? 1 : "any" });
    const part = leaf(field, needed);
    part.get = () => (field.number === null ? undefined : Number((field.number / scale).toPrecision(12)));
    const check = part.check;
    part.check = () => {
      if (field.input.validity.badInput) { field.wrong("this is not a number"); return false; }
      const n = field.number;
      if (n !== null && ((low !== undefined && n < low) || (high !== undefined && n > high))) { field.wrong(`${n} is outside ${low ?? "…"} to ${high ?? "…"}${hint.unit ? ` ${hint.unit}` : ""}`); return false; }
      if (n !== null && schema.type === "integer" && !Number.isInteger(n)) { field.wrong("a whole number is needed"); return false; }
      return check();
    };
    return part;
  }

  #quantity(name, schema, hint, value, needed) {
    const [, size = "", unit = schema["x-units"]?.[0] ?? ""] = /^\s*([-+.\deE]+)\s*(\S+)?\s*$/.exec(value ?? "") ?? [];
    const units = el("select", { "aria-label": `unit of ${label(name, hint)}` }, (schema["x-units"] ?? [unit]).map((one) => el("option", { value: one, selected: one === unit }, one)));
    const field = number(label(name, hint), { value: size, help: hint.help ?? "", required: needed, unit: units });
    const part = leaf(field, needed);
    part.get = () => (field.value === "" ? undefined : `${field.value} ${units.value}`);
    return part;
  }

  #array(name, schema, hint, value, needed, list) {
    const items = this.#resolve(schema.items ?? {});
    const options = list ?? (items.enum ? items.enum.map((one) => ({ id: one, name: pretty(one) })) : null);
    if (options) return ticks(label(name, hint), options, value ?? hint.value, { help: hint.help, asked: schema.optional, none: hint.none, needed });
    if (items.properties) return this.#rows(name, items, hint, value ?? []);
    const field = area(label(name, hint), { value: (value ?? []).join("\n"), rows: 2, help: [hint.help, "one per line"].filter(Boolean).join("; ") });
    const part = leaf(field, needed);
    part.get = () => { const all = field.value.split("\n").map((one) => one.trim()).filter(Boolean); return all.length ? all : undefined; };
    return part;
  }

  #rows(name, items, hint, value) {
    let parts = [];
    const body = el("div", { class: "form-rows" }), problem = el("span", { class: "problem", role: "alert" });
    const add = (one) => {
      const part = this.#object(items, hint.item ?? {}, one, "", false, true);
      const row = el("div", { class: "form-row" }, part.node, el("button", { type: "button", class: "quiet", "aria-label": `remove this entry of ${label(name, hint)}`, onclick: () => {
        parts = parts.filter((other) => other !== part); row.remove(); this.options.onchange?.();
      } }, "Remove"));
      parts.push(part);
      body.append(row);
      return part;
    };
    for (const one of value) add(one);
    const node = el("fieldset", { class: "group wide" }, el("legend", {}, label(name, hint)), hint.help && el("p", { class: "help" }, hint.help), body,
      el("button", { type: "button", onclick: () => { add({}).node.querySelector("input, select, textarea")?.focus(); } }, hint.add ?? `Add to ${label(name, hint).toLowerCase()}`), problem);
    return { name, node, get: () => { const all = parts.map((part) => part.get() ?? {}); return all.length ? all : undefined; }, clear: () => { fill(problem); parts.forEach((part) => part.clear()); },
      wrong: ([first, ...rest], words) => (first !== undefined && parts[first] ? parts[first].wrong(rest, words) : (fill(problem, words), true)), check: () => parts.map((part) => part.check()).every(Boolean) };
  }

  /** A mapping: with a list, a row for each of its names; else names are typed. */
  #mapping(name, schema, hint, value, list) {
    const each = typeof schema.additionalProperties === "object" ? schema.additionalProperties : { type: "string" };
    const problem = el("span", { class: "problem", role: "alert" }), body = el("div", { class: "form-map" });
    let parts = [];
    const inner = (key, words, one) => { const part = this.#build(key, each, { ...hint.item, label: words }, one, false); part.key = () => key; return part; };
    const free = (key, one) => {
      const part = this.#build("value", each, { ...hint.item, label: hint.itemLabel ?? "Value" }, one, false);
      const field = text(hint.key ?? "Name", { value: key });
      part.key = () => field.value.trim();
      const row = el("div", { class: "form-row" }, field, part.node, el("button", { type: "button", class: "quiet", "aria-label": `remove ${key || "this entry"}`, onclick: () => { parts = parts.filter((p) => p !== part); row.remove(); this.options.onchange?.(); } }, "Remove"));
      body.append(row);
      parts.push(part);
      return field;
    };
    if (list) { parts = list.map((one) => inner(one.id, one.name, (value ?? {})[one.id])); body.append(...parts.map((part) => part.node)); }
    else for (const [key, one] of Object.entries(value ?? {})) free(key, one);
    const node = el("fieldset", { class: "group wide" }, el("legend", {}, label(name, hint)), hint.help && el("p", { class: "help" }, hint.help), body,
      list && hint.others && el("button", { type: "button", onclick: () => { for (const part of parts) if (part.get() === undefined) part.node.value = hint.others; node.dispatchEvent(new Event("change", { bubbles: true })); } }, `All others: ${hint.others}`),
      !list && el("button", { type: "button", onclick: () => free("", undefined).input.focus() }, hint.add ?? "Add"), problem);
    return { name, node, clear: () => { fill(problem); parts.forEach((part) => part.clear()); }, check: () => parts.map((part) => part.check()).every(Boolean),
      get: () => { const all = Object.fromEntries(parts.map((part) => [part.key(), part.get()]).filter(([key, one]) => key && one !== undefined)); return Object.keys(all).length ? all : undefined; },
      wrong: ([first, ...rest], words) => { const part = parts.find((one) => one.key() === first); return part ? part.wrong(rest, words) : (fill(problem, words), true); } };
  }

  #object(schema, hints, value, title, root = false, needed = true) {
    const fields = hints.fields ?? {}, names = Object.keys(schema.properties ?? {}).filter((name) => name !== "kind" || !root);
    const order = [...(hints.order ?? []).filter((name) => names.includes(name)), ...names.filter((name) => !(hints.order ?? []).includes(name))];
    const parts = [], hidden = {};
    for (const name of order) {
      const raw = schema.properties[name], hint = { ...fields[name] };
      const start = value[name] !== undefined && value[name] !== null ? value[name] : raw.format === "date" && name === "on" && hint.value === undefined ? today() : hint.value;
      if (hint.hide) { if (value[name] !== undefined) hidden[name] = value[name]; continue; }
      if (raw.description && hint.help === undefined && !hint.label) hint.help = raw.description;
      const part = this.#build(name, raw, hint, hint.whole ? value : start, (schema.required ?? []).includes(name) || hint.needed);
      part.name = name;
      part.hint = hint;
      parts.push(part);
    }
    const byName = new Map(parts.map((part) => [part.name, part]));
    for (const part of parts) {
      const sibling = part.follow && byName.get(part.hint.depends);
      if (sibling) { part.follow(sibling); sibling.node.addEventListener("change", () => part.follow(sibling)); }
    }
    const problem = el("span", { class: "problem", role: "alert" });
    const shown = parts.filter((part) => !part.hint.more), more = parts.filter((part) => part.hint.more);
    const inside = [el("div", { class: "form-grid" }, shown.map((part) => part.node)), more.length ? el("details", { class: "form-more" }, el("summary", {}, hints.rest ?? "More"), el("div", { class: "form-grid" }, more.map((part) => part.node))) : null, problem];
    const node = root || !title ? el("div", { class: "form-part" }, inside) : el("fieldset", { class: "group wide" }, el("legend", {}, title), hints.help && el("p", { class: "help" }, hints.help), inside);
    const get = () => {
      const found = { ...hidden };
      for (const part of parts) {
        const one = part.get();
        if (one === undefined) continue;
        if (part.merge) Object.assign(found, one); else found[part.name] = one;
      }
      return Object.keys(found).length || needed ? found : undefined;
    };
    return { node, get, clear: () => { fill(problem); parts.forEach((part) => part.clear()); },
      check: () => (needed || get() !== undefined ? parts.map((part) => part.check()).every(Boolean) : true),
      wrong: ([first, ...rest], words) => {
        const merged = parts.find((one) => one.merge?.includes(first)), part = merged ?? byName.get(first);
        if (part) return part.wrong(merged ? [first, ...rest] : rest, words);
        fill(problem, [first, ...rest].filter(Boolean).join(" "), first ? ": " : "", words);
        return true;
      } };
  }
}

/** A part of one labelled field. */
export function leaf(node, needed = false) {
  return { node, get: () => { const value = node.value?.trim?.() ?? node.value; return value === "" ? undefined : value; }, wrong: (_, words) => { node.wrong(words); return true; }, clear: () => node.wrong(""),
    check: () => { if (needed && node.value.trim() === "") { node.wrong("this is needed"); return false; } return true; } };
}

/** A part of radio buttons. */
export function radio(node, needed = false) {
  const problem = el("span", { class: "problem", role: "alert" });
  node.append(problem);
  const say = (words) => { fill(problem, words); for (const one of node.querySelectorAll("input")) { if (words) one.setAttribute("aria-invalid", "true"); else one.removeAttribute("aria-invalid"); } };
  return { node, get: () => node.value || undefined, wrong: (_, words) => { say(words); return true; }, clear: () => say(""),
    check: () => { if (needed && !node.value) { say("this is needed"); return false; } return true; } };
}

/** Check boxes for a list; where not having asked differs from none, that is a choice of its own (`asked`). */
export function ticks(title, options, value, { help = "", asked = false, none = "none of these", needed = false } = {}) {
  const problem = el("span", { class: "problem", role: "alert" }), chosen = new Set(value ?? []);
  const boxes = options.map((one) => {
    const id = fresh("t"), box = el("input", { type: "checkbox", id, value: one.id, checked: chosen.has(one.id) });
    return { box, node: el("span", { class: "tick" }, box, el("label", { for: id, title: one.words ?? one.definition }, one.name)) };
  });
  const state = asked ? choice("", [{ value: "", label: "not asked yet" }, { value: "none", label: none }, { value: "some", label: "these:" }], { value: value === undefined || value === null ? "" : chosen.size ? "some" : "none" }) : null;
  state?.querySelector("legend").remove();
  const node = el("fieldset", { class: "group ticks" }, el("legend", {}, title), help && el("p", { class: "help" }, help), state, el("div", { class: "tick-list" }, boxes.map((one) => one.node)), problem);
  if (state) {
    const list = node.querySelector(".tick-list"), show = () => { list.hidden = state.value !== "some"; };
    state.setAttribute("aria-label", title);
    state.addEventListener("change", show);
    show();
  }
  const picked = () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
  return { node, get: () => { const all = picked(); if (state) return state.value === "" || state.value === null ? undefined : state.value === "none" ? [] : all; return all.length ? all : undefined; },
    wrong: (_, words) => { fill(problem, words); return true; }, clear: () => fill(problem), check: () => { if (needed && !picked().length && !state) { fill(problem, "choose at least one"); return false; } return true; } };
}

/** Offers names of a list while others may be typed. */
export function suggest(field, list) {
  const id = fresh("list");
  field.append(el("datalist", { id }, list.map((one) => el("option", { value: one.id }, one.name))));
  field.input.setAttribute("list", id);
}
