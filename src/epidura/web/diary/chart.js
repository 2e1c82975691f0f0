// The last two weeks: least to worst as a bar, the average as a dot, the same in words and as a table.

import { el, svg } from "../lib/dom.js";
import { LOCALE, t } from "./words.js";

const WIDE = 340, TALL = 150, LEFT = 24, TOP = 8, LOW = 118;

/** `days`: the 14 days (ISO), oldest first; `told`: Map day -> answers. `name(day)` for a person. */
export function chart(days, told, name) {
  const step = (WIDE - LEFT - 6) / days.length, y = (value) => LOW - (value / 10) * (LOW - TOP), middle = (k) => LEFT + step * (k + 0.5);
  const filled = days.filter((one) => told.has(one));
  const value = (one) => { const answers = told.get(one); return answers?.average ?? answers?.worst ?? answers?.least ?? null; };
  const rated = filled.filter((one) => value(one) !== null).sort((a, b) => value(a) - value(b));
  const round = (number) => Number(number.toFixed(1)).toLocaleString(LOCALE);
  const averages = filled.map((one) => told.get(one).average).filter((one) => one !== null && one !== undefined);
  const words = !filled.length ? t("noDays") : t("chartWords", { n: filled.length,
    average: averages.length ? t("averageIs", { value: round(averages.reduce((sum, one) => sum + one, 0) / averages.length) }) : "",
    best: rated.length > 1 ? t("bestDay", { day: name(rated[0]), value: round(value(rated[0])) }) : "",
    worstDay: rated.length > 1 ? t("worstDay", { day: name(rated.at(-1)), value: round(value(rated.at(-1))) }) : "" });
  const cell = (number) => (number === null || number === undefined ? "–" : round(number));
  return el("section", { class: "card earlier" }, el("h2", {}, t("earlier")),
    filled.length ? svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": words },
      [0, 5, 10].map((one) => [svg("line", { x1: LEFT, x2: WIDE - 6, y1: y(one), y2: y(one), class: "rule" }), svg("text", { x: LEFT - 6, y: y(one) + 4, class: "tick", "text-anchor": "end" }, one)]),
      days.map((one, k) => {
        const { worst, average, least } = told.get(one) ?? {}, known = [worst, average, least].filter((each) => each !== null && each !== undefined);
        return [known.length ? svg("line", { x1: middle(k), x2: middle(k), y1: y(Math.max(...known)) - 3, y2: y(Math.min(...known)) + 3, class: "range" }) : null,
          average !== null && average !== undefined ? svg("circle", { cx: middle(k), cy: y(average), r: 5, class: "mean" }) : null,
          k % 2 === days.length % 2 ? null : svg("text", { x: middle(k), y: LOW + 20, class: "tick", "text-anchor": "middle" }, Number(one.slice(8)))];
      })) : null,
    filled.length ? el("p", { class: "help" }, t("chartHelp")) : null, el("p", {}, words),
    filled.length ? el("details", {}, el("summary", {}, t("table")), el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, t("day")), ["worst", "average", "least"].map((one) => el("th", { scope: "col", class: "n" }, t(one))))),
      el("tbody", {}, filled.map((one) => { const { worst, average, least } = told.get(one); return el("tr", {}, el("th", { scope: "row" }, name(one)), [worst, average, least].map((each) => el("td", { class: "n" }, cell(each)))); })))) : null);
}
