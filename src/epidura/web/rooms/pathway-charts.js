// Charts of the pathway as SVG: they print, and every line is told apart by its dash and its mark, not by colour.

import { day, el, fresh, num, svg } from "../lib/dom.js";

const DAY = 864e5;
const at = (iso) => Date.parse(`${iso.slice(0, 10)}T00:00Z`) / DAY;
const iso = (n) => new Date(n * DAY).toISOString().slice(0, 10);
const short = (text) => new Date(`${text}T00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const MARKS = { average: (x, y) => svg("circle", { cx: x, cy: y, r: 4 }), worst: (x, y) => svg("path", { d: `M${x} ${y - 5}L${x + 4.6} ${y + 3.4}H${x - 4.6}Z` }), least: (x, y) => svg("path", { d: `M${x} ${y + 5}L${x + 4.6} ${y - 3.4}H${x - 4.6}Z` }),
  plain: (x, y) => svg("circle", { cx: x, cy: y, r: 3.5 }) };
const W = 760, L = 44, R = 12;

/** What may be wider than the page scrolls by itself, by keyboard too. */
export const wide = (title, ...inside) => el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": title }, inside);

/** Days with a label: about `most` of them, evenly. */
function ticks(first, last, most) {
  const step = [1, 2, 7, 14, 30, 61, 91, 182, 365].find((one) => (last - first) / one <= most) ?? 730, found = [];
  for (let n = first; n <= last; n += step) found.push(n);
  return found;
}

/** The diary of the trial: worst, average and least pain, and under the days the programs in force. */
export function diaryChart(view) {
  const { trial } = view.state;
  const days = view.diary.filter((one) => at(one.day) >= at(trial.begun) - 30 && (!trial.ended || at(one.day) <= at(trial.ended)));
  const first = Math.min(at(trial.begun), ...days.map((one) => at(one.day))), last = Math.max(at(trial.ended ?? trial.begun), ...days.map((one) => at(one.day)), first + Math.min(trial.days ?? 7, 60) - 1);
  const lanes = view.programs.filter((one) => at(one.first) <= last && (!one.last || at(one.last) >= first));
  const slots = [...new Set(lanes.map((one) => one.slot))];
  const H = 210, top = 12, base = top + H, lane = 30, whole = base + 34 + (slots.length ? 20 + slots.length * lane : 0);
  const step = (W - L - R) / (last - first + 1), x = (n) => L + (n - first + 0.5) * step, y = (v) => base - (v / 10) * H;
  const hatch = fresh("lane");
  const line = (name) => {
    const points = days.filter((one) => one[name] !== null && one[name] !== undefined).map((one) => [x(at(one.day)), y(one[name]), one]);
    return points.length ? svg("g", { class: `line ${name}` }, svg("path", { d: `M${points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}` }), points.map(([a, b, one]) => svg("g", {}, MARKS[name](a, b), svg("title", {}, `${day(one.day)}: ${name} pain ${one[name]} of 10`)))) : null;
  };
  const says = `Diary of the trial from ${day(iso(first))} to ${day(iso(last))}: ${days.length} days. Pain before: ${trial.baseline_nrs} of 10. Average pain: ${days.map((one) => one.average ?? "–").join(", ")}. Programs: ${lanes.map((one) => `${one.slot} from ${day(one.first)}`).join("; ") || "none"}.`;
  const picture = svg("svg", { viewBox: `0 0 ${W} ${whole}`, class: "chart", role: "img", "aria-label": says },
    svg("defs", {}, svg("pattern", { id: hatch, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { width: 2.4, height: 7, class: "hatch" }))),
    [0, 2, 4, 6, 8, 10].map((v) => [svg("line", { x1: L, x2: W - R, y1: y(v), y2: y(v), class: "grid-line" }), svg("text", { x: L - 8, y: y(v) + 4, class: "end" }, v)]),
    svg("text", { x: 12, y: top + H / 2, class: "mid", transform: `rotate(-90 12 ${top + H / 2})` }, "pain, 0 to 10"),
    svg("line", { x1: L, x2: W - R, y1: y(trial.baseline_nrs), y2: y(trial.baseline_nrs), class: "baseline" }), svg("text", { x: W - R, y: y(trial.baseline_nrs) - 5, class: "end" }, `before: ${trial.baseline_nrs}`),
    at(trial.begun) > first && svg("g", {}, svg("line", { x1: x(at(trial.begun)) - step / 2, x2: x(at(trial.begun)) - step / 2, y1: top, y2: base, class: "begin" }), svg("text", { x: x(at(trial.begun)) - step / 2 + 4, y: top + 10 }, "trial begins")),
    ticks(first, last, 9).map((n) => svg("text", { x: x(n), y: base + 18, class: "mid" }, short(iso(n)))),
    line("worst"), line("least"), line("average"),
    slots.length ? svg("text", { x: L, y: base + 42, class: "small" }, "programs in force") : null,
    slots.map((slot, row) => lanes.filter((one) => one.slot === slot).map((one, k) => {
      const from = Math.max(x(at(one.first)) - step / 2, L), to = one.last ? x(Math.min(at(one.last), last)) + step / 2 : W - R, up = base + 48 + row * lane;
      const room = Math.max(3, Math.floor((to - from - 12) / 6.4)), words = `${one.slot}${one.set_mA !== null && one.set_mA !== undefined ? `, ${one.set_mA} mA` : ""}: ${one.words}`;
      return svg("g", { class: "lane" }, svg("rect", { x: from + 1, y: up, width: Math.max(3, to - from - 2), height: lane - 7, rx: 4 }), k % 2 ? svg("rect", { x: from + 1, y: up, width: Math.max(3, to - from - 2), height: lane - 7, rx: 4, fill: `url(#${hatch})`, class: "over" }) : null,
        svg("text", { x: from + 7, y: up + 15, class: "small" }, words.length > room ? `${words.slice(0, room - 1)}…` : words), svg("title", {}, `${words}; from ${day(one.first)}${one.last ? ` to ${day(one.last)}` : ""}`));
    })));
  const key = (name, words) => el("span", { class: "key" }, svg("svg", { viewBox: "0 0 34 14", width: 34, height: 14, class: "chart", "aria-hidden": "true" }, svg("g", { class: `line ${name}` }, svg("path", { d: "M2 7H32" }), MARKS[name](17, 7))), words);
  const has = (name) => days.some((one) => one[name] !== null && one[name] !== undefined);
  return el("figure", { class: "diary" }, el("div", { class: "keys" }, has("worst") && key("worst", "worst"), has("average") && key("average", "average"), has("least") && key("least", "least")), wide("diary", picture),
    el("details", { class: "noprint" }, el("summary", {}, "As a table"), wide("days of the diary", el("table", {}, el("thead", {}, el("tr", {}, ["Day", "Worst", "Average", "Least", "Sleep", "Activity", "Painkillers", "Stimulation", "Program"].map((one) => el("th", { scope: "col" }, one)))),
      el("tbody", {}, days.map((one) => el("tr", {}, el("td", {}, day(one.day)), ["worst", "average", "least", "sleep", "activity"].map((name) => el("td", {}, num(one[name], "of 10"))), el("td", {}, num(one.medication, "of usual")), el("td", {}, num(one.stimulation_hours, "h")), el("td", {}, one.slot || "–"))))))));
}

/** A small chart of one series over time: [{on, value, from}]. `range`: [low, high]; `marks`: levels with words, such as the baseline. */
export function trend(title, series, { unit = "", scale = 1, range, better = "", marks = [] } = {}) {
  const H = 110, top = 10, base = top + H, values = series.map((one) => one.value * scale);
  const low = range ? range[0] * scale : Math.min(...values, 0), high = range ? range[1] * scale : Math.max(...values, low + 1);
  const first = at(series[0].on), last = Math.max(at(series.at(-1).on), first + 1), x = (n) => L + 4 + ((n - first) / (last - first)) * (420 - L - 22), y = (v) => base - ((v - low) / (high - low || 1)) * H;
  const shown = (v) => num(v, unit, 1, 3);
  const path = series.map((one) => `${x(at(one.on)).toFixed(1)} ${y(one.value * scale).toFixed(1)}`).join("L");
  const latest = values.at(-1);
  return el("figure", { class: "trend" }, el("figcaption", {}, el("strong", {}, title), ` ${shown(latest)}`, el("span", { class: "help" }, ` on ${day(series.at(-1).on)}${better ? `; ${better}` : ""}`)),
    svg("svg", { viewBox: `0 0 420 ${base + 22}`, class: "chart", role: "img", "aria-label": `${title}: ${series.map((one) => `${day(one.on)} ${shown(one.value * scale)} (${one.from})`).join("; ")}` },
      [low, (low + high) / 2, high].map((v) => [svg("line", { x1: L, x2: 408, y1: y(v), y2: y(v), class: "grid-line" }), svg("text", { x: L - 6, y: y(v) + 4, class: "end" }, num(v))]),
      marks.filter((one) => one.value !== null && one.value !== undefined).map((one) => svg("g", {}, svg("line", { x1: L, x2: 408, y1: y(one.value * scale), y2: y(one.value * scale), class: "baseline" }), svg("text", { x: 406, y: y(one.value * scale) - 4, class: "end" }, one.words))),
      svg("g", { class: "line average" }, svg("path", { d: `M${path}` }), series.length < 60 ? series.map((one) => svg("g", {}, MARKS.plain(x(at(one.on)), y(one.value * scale)), svg("title", {}, `${day(one.on)}: ${shown(one.value * scale)} (${one.from})`))) : null),
      svg("text", { x: L, y: base + 18, class: "small" }, short(series[0].on)), svg("text", { x: 408, y: base + 18, class: "end small" }, day(series.at(-1).on))));
}
