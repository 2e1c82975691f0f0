// A number that rests on unverified data carries a mark that explains itself.

import { el, fresh } from "./dom.js";

/**
 * A mark. `what`: {evidence, source, name, note}: `recall` is remembered from reading, `judgement` is a choice of this project; both are unverified.
 * Without anything unverified there is no mark (null), so it can be called for every number.
 */
export function mark(what) {
  const all = (Array.isArray(what) ? what : [what]).filter((one) => one && (one.unverified || one.evidence === "recall" || one.evidence === "judgement"));
  if (!all.length) return null;
  const id = fresh("why");
  const box = el("div", { id, popover: "auto", class: "why" }, el("strong", {}, "Unverified"),
    el("p", {}, "This rests on numbers that nobody has checked against a source that can be read."),
    el("ul", {}, all.slice(0, 12).map((one) => el("li", {}, one.name ? `${one.name}: ` : "", WORDS[one.evidence] ?? one.evidence ?? "unverified", one.source ? `; ${one.source}` : "", one.note ? `. ${one.note}` : ""))),
    all.length > 12 && el("p", {}, `and ${all.length - 12} more`));
  const sign = el("button", { type: "button", class: "mark", popovertarget: id, "aria-label": `unverified: ${all.map((one) => one.name).filter(Boolean).slice(0, 3).join(", ") || "why"}` }, "?");
  box.addEventListener("beforetoggle", (event) => { // beside its sign
    if (event.newState !== "open") return;
    const place = sign.getBoundingClientRect();
    box.style.setProperty("left", `${Math.max(8, Math.min(place.left, innerWidth - 340))}px`);
    box.style.setProperty("top", `${Math.min(place.bottom + 6, innerHeight - 180)}px`);
  });
  return el("span", { class: "marked" }, sign, box);
}

const WORDS = { recall: "from memory, no source at hand", judgement: "a judgement of this project" };
