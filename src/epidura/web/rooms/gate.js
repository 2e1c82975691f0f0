// Gate and outlook: what stimulation does to the neurons that pass pain on, and what may become of pain and quality of life.

import { Latest, Offline, work } from "../lib/api.js";
import { chart, COLOURS, DASHES } from "../lib/charts.js";
import { el, fill, num, svg } from "../lib/dom.js";
import { button, choice, select } from "../lib/fields.js";
import { mark } from "../lib/marks.js";
import { keep, kept } from "../lib/keep.js";

const WITH = COLOURS[0], WITHOUT = "#7b8794";
let last = null; // {of, told}: stays while the page is open

export default async function (main, bench) {
  style();
  const state = { program: kept("gate.program", 0), place: null, view: kept("gate.view", "team") };
  const latest = new Latest();
  const draft = bench.draft;
  const wrong = el("div"), running = el("div", { "aria-live": "polite" }), body = el("div", { class: "stack" });
  const go = button("Compute", () => compute(), { kind: "main" });
  const view = choice("Show it", [{ value: "team", label: "for the team" }, { value: "patient", label: "for the patient" }],
    { value: state.view, onchange: (value) => { state.view = value; keep("gate.view", value); show(); } });
  fill(main, el("div", { class: "spread gate-head noprint" }, el("h1", {}, "Gate and outlook"), el("div", { class: "row" }, view, go)), wrong, running, body);

  const now = () => JSON.stringify(draft.case);
  const changed = () => show();
  draft.addEventListener("change", changed);
  show();
  return () => { latest.stop(); draft.removeEventListener("change", changed); };

  async function compute() {
    fill(wrong);
    const of = now(), written = structuredClone(draft.case);
    await latest.run(async (signal) => {
      const stop = new AbortController();
      signal.addEventListener("abort", () => stop.abort());
      try {
        for (const quick of [true, false]) {
          const words = el("span", {}, "waiting"), bar = el("progress", { max: 1, value: 0, "aria-label": quick ? "quick look" : "full computation" }), share = el("span", { class: "n" });
          fill(running, el("div", { class: "card gate-progress" }, el("div", { class: "spread" }, el("strong", {}, quick ? "A quick look first" : "Now the full computation"),
            button("Cancel", () => stop.abort())), el("div", { class: "spread help" }, words, share), bar));
          const told = await work("/gate/look", { case: written, quick }, { signal: stop.signal, progress: (what, much) => {
            fill(words, what || "waiting"); bar.value = much; fill(share, `${Math.round(100 * much)} %`); } });
          if (signal.aborted) return;
          last = { of, told };
          show();
        }
      } catch (failure) {
        if (failure.name === "AbortError") { if (!signal.aborted) bench.say(last ? "Cancelled; what was computed before is shown." : "Cancelled."); return; }
        if (failure instanceof Offline) { bench.say("The server went away while it computed. Press Compute again when it is back: what it had found is kept there.", "warn", 0); return; }
        fill(wrong, bench.complain(null, failure));
      } finally { fill(running); }
    });
  }

  function show() {
    const missing = !draft.case.patient;
    go.disabled = missing;
    if (missing) {
      fill(body, el("div", { class: "card" }, el("h2", {}, "Whose pain?"), el("p", {}, "The draft says nothing about a person, so there is no pain to look at. Missing: where it hurts, how much (0 to 10), and why (the indication)."),
        el("p", {}, el("a", { class: "button main", href: "#/plan" }, "Say it in Plan"))));
      return;
    }
    if (!last) {
      fill(body, el("div", { class: "card" }, el("h2", {}, draft.case.title || "The draft"), el("p", {}, `${draft.case.programs.length === 1 ? "One program" : `${draft.case.programs.length} programs`}: ${draft.case.programs.map((one) => one.name).join(", ")}.`),
        el("p", {}, "Compute follows the stimulus from the lead through the fibres into the dorsal horn, and on to pain and quality of life. A quick look comes first; the full computation takes about a minute on two free cores.")));
      return;
    }
    const told = last.told;
    state.program = Math.min(state.program, told.programs.length - 1);
    const stale = last.of !== now();
    fill(body, el("div", { class: "noprint" },
      stale && el("div", { class: "notice warn", role: "status" }, "The draft has changed since this was computed. Compute again to see what it does now."),
      told.quick && el("div", { class: "notice", role: "status" }, el("strong", {}, "Quick look. "), `${told.fibres.map((one) => `${one.count} ${one.kind}`).join(" and ")}${told.gate ? `, ${told.gate.copies} copies of the circuit` : ""}. Numbers will move when the full computation is there.`),
      told.programs.length > 1 && choice("Program", told.programs.map((one, i) => ({ value: String(i), label: one.name })), { value: String(state.program), onchange: (value) => { state.program = Number(value); keep("gate.program", state.program); show(); } })),
    state.view === "patient" ? patient(told, state.program, stale) : team(told, state, show));
  }
}

function style() {
  if (document.querySelector("link[data-room=gate]")) return;
  document.head.append(el("link", { rel: "stylesheet", href: "/web/rooms/gate.css", "data-room": "gate" }));
}

const faint = (colour, share) => { const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)); return `rgba(${r},${g},${b},${share})`; };
const signed = (x) => (Math.abs(x) < 0.5 ? "0" : `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(0)}`);
/** By how much firing changes, in words: inhibition is how much less. */
function change(middle, low, high) {
  if (middle === null) return "–";
  const words = Math.abs(middle) < 0.5 ? "no change" : `${signed(-middle)}\u00a0%`;
  return low === null || high - low < 0.5 ? words : `${words} (${signed(-high)} to ${signed(-low)})`;
}
const plot = (node, traces, more, says) => { chart(node, traces, more, says, { displayModeBar: false }); return node; };
const holder = (height) => el("div", { class: "plot", style: { height: `${height}px` } });

/** A line with the range between its copies. */
function ranged(x, of, name, colour, dash, unit) {
  return [{ x: [...x, ...[...x].reverse()], y: [...of.high, ...[...of.low].reverse()], fill: "toself", fillcolor: faint(colour, 0.18), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false },
    { x, y: of.mean, name, mode: "lines", line: { color: colour, dash, width: 2 }, hovertemplate: `%{y:.0f} ${unit}<extra>${name}</extra>` }];
}

// --- for the team ---

function team(told, state, again) {
  const i = state.program, one = told.programs[i];
  return [
    el("div", { class: "grid gate-top" }, who(told), facts(told, one)),
    told.gate ? gate(told, i, state, again) : el("div", { class: "card" }, el("h2", {}, "The pain gate"), el("p", {}, "The case switches the gate off, or follows no fibres in time.")),
    told.outcome?.programs[i] ? outlook(told, i) : el("div", { class: "card" }, el("h2", {}, "Pain and quality of life"), (told.outcome?.notes ?? ["The case asks for no outcome."]).map((words) => el("p", {}, words)), told.outcome && !told.outcome.notes.length && el("p", {}, "The amplitude of this program is not known, so nothing is predicted.")),
    told.stages[i] && stages(told.stages[i]),
    notes(told)];
}

function who(told) {
  const p = told.person;
  return el("section", { class: "card" }, el("h2", {}, told.title), el("dl", { class: "facts" },
    el("dt", {}, "pain"), el("dd", {}, `${num(p.nrs)} of 10 (NRS), ${p.areas.join(", ")}`),
    el("dt", {}, "indication"), el("dd", {}, p.indication),
    el("dt", {}, "evidence"), el("dd", {}, el("span", { class: "tag" }, p.grade), mark(p.grade_evidence), p.grade_words && el("div", { class: "help" }, p.grade_words))));
}

function facts(told, one) {
  return el("section", { class: "card" }, el("h2", {}, one.name), el("dl", { class: "facts" },
    el("dt", {}, "contacts"), el("dd", {}, one.contacts), el("dt", {}, "waveform"), el("dd", {}, one.waveform),
    el("dt", {}, "runs at"), el("dd", {}, one.amplitude_mA === null ? "not known: nothing is felt at any amplitude" : num(one.amplitude_mA, "mA"), one.amplitude_mA !== null && ` (${one.felt ? "felt" : "below perception"})`),
    el("dt", {}, "felt from"), el("dd", {}, one.perception_mA === null ? "not reached" : num(one.perception_mA, "mA")), el("dt", {}, "uncomfortable from"), el("dd", {}, one.discomfort_mA === null ? "not reached" : num(one.discomfort_mA, "mA")),
    el("dt", {}, "pain covered"), el("dd", {}, `${num(one.coverage_percent, "%")} of its dermatomes; ${num(one.coverable_percent, "%")} up to discomfort`, mark(told.unverified.slice(0, 12)))));
}

function gate(told, i, state, again) {
  const g = told.gate, p = g.programs[i], cell = 0;
  if (!p) return el("section", { class: "card" }, el("h2", {}, "The pain gate"), el("p", {}, "The amplitude of this program is not known, so it sends nothing into the gate."));
  const place = Math.min(state.place ?? p.main, g.places.length - 1), where = g.places[place], name = g.projection[cell];
  const pick = select("Painful dermatome", g.places.map((each, k) => ({ value: String(k), label: `${each.name}${each.served ? "" : " (not reached by the lead)"}` })),
    { value: String(place), onchange: () => { state.place = Number(pick.value); again(); document.querySelector(".gate-place select")?.focus(); } });
  const top = 1.05 * Math.max(1, ...g.in_time_off.high[cell], ...g.hypotheses.flatMap((_, h) => p.in_time.high[h][place][cell]).filter((x) => x !== null));
  const panels = g.hypotheses.map((claim, h) => {
    const node = holder(210), words = change(p.inhibition_percent[h][place][cell], p.from_percent[h][place][cell], p.to_percent[h][place][cell]);
    plot(node, [...ranged(g.piece_s, pieces(g.in_time_off, cell), "without", WITHOUT, "dot", "per s"), ...ranged(g.piece_s, pieces(p.in_time, h, place, cell), "with stimulation", WITH, "solid", "per s")],
      { showlegend: h === 0, legend: { x: 0, y: 1.18, orientation: "h" }, margin: { l: 44, r: 8, t: 26, b: 40 }, yaxis: { range: [0, top], title: { text: h ? "" : `${name}, per s` } }, xaxis: { title: { text: "time (s)" }, range: [0, g.duration_s] },
        shapes: [{ type: "line", x0: g.onset_s, x1: g.onset_s, y0: 0, y1: top, line: { color: WITHOUT, dash: "dash", width: 1 } }] },
      `Firing of ${name} neurons in time at ${where.name}, ${claim.words}: ${words} with stimulation`);
    return el("figure", { class: "panel" }, el("figcaption", {}, el("strong", {}, h ? `or: ${claim.words}` : claim.words), el("div", { class: "big" }, p.as_fired[h][place] && h ? "as in the first" : words)), node);
  });
  const rows = g.places.map((each, q) => el("tr", { "aria-selected": q === place ? "true" : null, class: q === place ? "chosen" : "" }, el("th", { scope: "row" }, each.name),
    el("td", { class: "n" }, each.served ? p.share_percent[q].map((x) => num(x, "%", 1, 2)).join(" / ") : "not reached"), g.hypotheses.map((_, h) => el("td", { class: "n" }, p.as_fired[h][q] && h ? "as in the first" : change(p.inhibition_percent[h][q][cell], p.from_percent[h][q][cell], p.to_percent[h][q][cell])))));
  return el("section", { class: "card" },
    el("div", { class: "spread" }, el("h2", {}, "The pain gate: firing of the neurons that pass pain on"), el("div", { class: "gate-place" }, pick)),
    el("p", { class: "help" }, `Claims about what stimulation does, side by side. Line: mean of ${g.copies} copies of the circuit, shade: from the least to the most of them; stimulation begins at the dashed line. Under each claim: change of firing from ${num(g.counted_from_s, "s")} on, with the ${g.sure_percent} % interval of the mean.`, mark(told.unverified)),
    el("div", { class: "panels" }, panels),
    el("div", { class: "grid gate-two" },
      el("div", {}, el("h3", {}, `The gate at ${where.name}`), picture(g, p, place), p.closing && el("p", {}, p.closing)),
      el("div", {}, el("h3", {}, "At every painful dermatome"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "change of firing at every painful dermatome" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "pain at"), el("th", { class: "n" }, "large fibres that fire: here / around"), g.hypotheses.map((claim) => el("th", { class: "n" }, claim.words)))), el("tbody", {}, rows))))),
    el("div", { class: "grid gate-two" }, sweep(g, p, cell), p.at_frequency.mean.length ? rates(g, p, cell) : null, slow(g, p)),
    el("details", {}, el("summary", {}, "What is known and what is assumed of this pain state"), el("p", {}, el("strong", {}, "Known: "), g.known), el("p", {}, el("strong", {}, "Assumed: "), g.assumed), el("p", { class: "help" }, `Circuit ${g.circuit}, state ${g.pain_state}. Firing of simulated neurons, not pain; the interval says nothing about how well the circuit stands for a person.`)));
}

/** Mean, low and high at a place of nested lists. */
const pieces = (of, ...at) => Object.fromEntries(["mean", "low", "high"].map((key) => [key, at.reduce((list, k) => list[k], of[key])]));

function picture(g, p, place) {
  const cells = g.cells, leaving = cells.filter((one) => one.projection), middle = cells.filter((one) => !one.projection);
  const on = (one) => { const of = p.rate[one.id].mean; return of[0][place]; }, off = (one) => g.rate_off[one.id].mean;
  const height = Math.max(middle.length, leaving.length) * 74 + 16, y = new Map();
  middle.forEach((one, k) => y.set(one.id, 8 + (height - 16) * (k + 0.5) / middle.length));
  leaving.forEach((one, k) => y.set(one.id, 8 + (height - 16) * (k + 0.5) / leaving.length));
  const box = (x, at, width, head, below) => svg("g", {}, svg("rect", { x, y: at - 28, width, height: 56, rx: 8 }), svg("text", { x: x + width / 2, y: at - 6, class: "name" }, head), svg("text", { x: x + width / 2, y: at + 14 }, below));
  const line = (x0, y0, x1, y1, blocks) => svg("path", { d: `M${x0} ${y0}L${x1} ${y1}`, class: blocks ? "blocks" : "drives", "marker-end": `url(#gate-${blocks ? "stop" : "go"})` });
  const large = 8 + 0.25 * (height - 16), thin = 8 + 0.78 * (height - 16), said = (one) => `${num(off(one), "", 1, 2)} → ${num(on(one), "per s", 1, 2)}`;
  return svg("svg", { viewBox: `0 0 700 ${height}`, class: "gate-picture", role: "img", "aria-label": `The gate at ${g.places[place].name}, firing without → with stimulation: ${cells.map((one) => `${one.words} ${said(one)}`).join("; ")}` },
    svg("defs", {}, svg("marker", { id: "gate-go", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9, orient: "auto", markerUnits: "userSpaceOnUse" }, svg("path", { d: "M0 0L10 5L0 10z", class: "go" })),
      svg("marker", { id: "gate-stop", viewBox: "0 0 10 12", refX: 7, refY: 6, markerWidth: 10, markerHeight: 12, orient: "auto", markerUnits: "userSpaceOnUse" }, svg("rect", { x: 4, y: 0, width: 3.5, height: 12, class: "stop" }))),
    middle.map((one) => [line(144, one.id === "EX" ? thin : large, 198, y.get(one.id), false), leaving.map((end) => line(414, y.get(one.id), 462, y.get(end.id) + (one.id === "EX" ? 9 : -9), one.id !== "EX"))]).flat(2),
    box(4, large, 138, "large fibres", `${num(p.share_percent[place][0], "%", 1, 2)} driven`), box(4, thin, 138, "pain fibres", "painful input"),
    middle.map((one) => box(202, y.get(one.id), 210, one.words, said(one))), leaving.map((one) => box(466, y.get(one.id), 230, one.words, said(one))),
  );
}

function sweep(g, p, cell) {
  if (!p.amplitude_mA.length) return null;
  const node = holder(260), at = p.at_amplitude, of = { mean: at.mean.map((one) => one[cell]), low: at.low.map((one) => one[cell]), high: at.high.map((one) => one[cell]) };
  plot(node, [...ranged(p.amplitude_mA, of, "with stimulation", WITH, "solid", "per s"), { x: [p.amplitude_mA[0], p.amplitude_mA.at(-1)], y: [g.rate_off[g.projection[cell]].mean, g.rate_off[g.projection[cell]].mean], name: "without", mode: "lines", line: { color: WITHOUT, dash: "dot" } }],
    { xaxis: { title: { text: "amplitude (mA)" } }, yaxis: { title: { text: `${g.projection[cell]}, per s` }, rangemode: "tozero" }, margin: { l: 48, r: 8, t: 10, b: 44 }, legend: { orientation: "h", y: 1.16 } },
    `Firing against amplitude at ${g.places[p.main].name}: ${p.amplitude_mA.map((x, k) => `${num(x, "mA")} ${num(of.mean[k], "per s")}`).join(", ")}`);
  return el("div", {}, el("h3", {}, `Against amplitude, at ${g.places[p.main].name}`), node);
}

function rates(g, p, cell) {
  const pick = (of) => ({ mean: of.mean.map((one) => one[cell]), low: of.low.map((one) => one[cell]), high: of.high.map((one) => one[cell]) });
  const own = pick(p.at_frequency), every = pick(g.at_frequency_all), node = holder(260), tonic = own.mean.some((x) => x !== null);
  plot(node, [...(tonic ? ranged(g.frequency_Hz, own, "fibres of this program", WITH, "solid", "per s") : []), ...ranged(g.frequency_Hz, every, "every large fibre driven", COLOURS[1], "dash", "per s")],
    { xaxis: { type: "log", title: { text: "frequency (Hz)" }, tickvals: g.frequency_Hz }, yaxis: { title: { text: `${g.projection[cell]}, per s` }, rangemode: "tozero" }, margin: { l: 48, r: 8, t: 10, b: 44 }, legend: { orientation: "h", y: 1.16 } },
    `Firing against frequency: ${g.frequency_Hz.map((x, k) => `${num(x, "Hz")} ${num((tonic ? own : every).mean[k], "per s")}`).join(", ")}`);
  return el("div", {}, el("h3", {}, "Against frequency"), node);
}

function slow(g, p) {
  return el("div", {}, el("h3", {}, "How much of the inhibition is there, in time"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "share of the inhibition in time" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "after switching on for good"), el("th", { class: "n" }, "share"), el("th", { class: "n" }, "bounds"))),
    el("tbody", {}, g.moments.map((name, k) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "n" }, `${Math.round(p.slow_percent.middle[k])} %`), el("td", { class: "n" }, `${Math.round(p.slow_percent.low[k])} to ${Math.round(p.slow_percent.high[k])} %`)))))));
}

function outlook(told, i) {
  const o = told.outcome, p = o.programs[i], steps = o.months.map((_, k) => k), ticks = { tickvals: steps, ticktext: o.names, tickangle: -40 };
  const bands = (of, colour) => [[0, 4, 0.16], [1, 3, 0.34]].map(([low, high, share]) => ({ x: [...steps, ...[...steps].reverse()], y: [...of[high], ...[...of[low]].reverse()], fill: "toself", fillcolor: faint(colour, share), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false }))
    .concat([{ x: steps, y: of[2], mode: "lines+markers", line: { color: colour, width: 2.5 }, showlegend: false, hovertemplate: "%{y:.2g}<extra></extra>" }]);
  const year = o.months.indexOf(12), said = (of) => o.names.map((name, k) => `${name}: middle ${num(of[2][k], "", 1, 2)}, 90 % from ${num(of[0][k], "", 1, 2)} to ${num(of[4][k], "", 1, 2)}`).join("; ");
  const panel = (title, of, colour, range, unit) => { const node = holder(250); plot(node, bands(of, colour), { margin: { l: 40, r: 8, t: 8, b: 66 }, xaxis: ticks, yaxis: { range, title: { text: unit } } }, `${title}. ${said(of)}`); return el("figure", { class: "panel" }, el("figcaption", {}, el("strong", {}, title)), node); };
  const chances = holder(280), kinds = [["responder50_percent", "half of the pain gone"], ["responder30_percent", "30 % gone"], ["much_improved_percent", "much improved"]];
  plot(chances, kinds.map(([key, name], k) => ({ x: steps.slice(2), y: p[key].slice(2), name, mode: "lines+markers", line: { color: COLOURS[k], dash: DASHES[k], width: 2 }, marker: { symbol: ["circle", "square", "diamond"][k], size: 8 }, hovertemplate: `%{y:.0f} %<extra>${name}</extra>` })),
    { margin: { l: 44, r: 8, t: 48, b: 66 }, xaxis: { ...ticks, tickvals: steps.slice(2), ticktext: o.names.slice(2) }, yaxis: { range: [0, 100], title: { text: "% of people" } }, legend: { orientation: "h", x: 0, y: 1.03, yanchor: "bottom" } },
    `Chances by month. ${kinds.map(([key, name]) => `${name}: ${o.names.slice(2).map((when, k) => `${when} ${num(p[key][k + 2], "%", 1, 2)}`).join(", ")}`).join("; ")}`);
  const span = (of, k, digits) => `${of[2][k].toFixed(digits)} (${of[0][k].toFixed(digits)} to ${of[4][k].toFixed(digits)})`.replaceAll("-", "−");
  const table = el("table", {}, el("thead", {}, el("tr", {}, ["after", "pain (NRS)", "half gone", "30 % gone", "much improved", `EQ-5D index (${o.country})`, "disability (0–100)", "effect not lost"].map((head, k) => el("th", { class: k ? "n" : "" }, head)))),
    el("tbody", {}, o.names.map((name, k) => k > 1 && el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "n" }, span(p.pain, k, 1)), ["responder50_percent", "responder30_percent", "much_improved_percent"].map((key) => el("td", { class: "n" }, `${Math.round(p[key][k])} %`)),
      el("td", { class: "n" }, span(p.eq5d, k, 2)), el("td", { class: "n" }, span(p.disability, k, 0)), el("td", { class: "n" }, `${Math.round(p.effect_kept_percent[k])} %`)))));
  const drivers = [...p.drivers].sort((a, b) => a.percent - b.percent), tornado = holder(270);
  plot(tornado, [{ type: "bar", orientation: "h", y: drivers.map((one) => broken(one.words)), x: drivers.map((one) => one.percent), marker: { color: WITH }, text: drivers.map((one) => `${Math.round(one.percent)} %`), textposition: "outside", cliponaxis: false, hoverinfo: "skip" }],
    { margin: { l: 10, r: 36, t: 4, b: 40 }, xaxis: { title: { text: "% of the variance of pain at a year" }, rangemode: "tozero" } }, `What drives the uncertainty of pain at a year: ${[...drivers].reverse().map((one) => `${one.words} ${num(one.percent, "%", 1, 2)}`).join(", ")}`);
  const parts = Object.entries(p.parts), taken = holder(190);
  plot(taken, parts.map(([name, of], k) => ({ type: "bar", orientation: "h", y: [""], x: [of[year]], name: `${name} ${of[year].toFixed(1)}`, marker: { color: COLOURS[k], pattern: { shape: ["", "/", "."][k] } }, hovertemplate: `${name}: %{x:.1f} of 10<extra></extra>` })),
    { barmode: "relative", margin: { l: 10, r: 10, t: 52, b: 44 }, xaxis: { title: { text: "points of 10 at a year, mean" } }, legend: { orientation: "h", x: 0, y: 1.04, yanchor: "bottom" } }, `What takes pain away after a year: ${parts.map(([name, of]) => `${name} ${num(of[year], "points", 1, 2)}`).join(", ")}`);
  return el("section", { class: "card" }, el("h2", {}, "Pain and quality of life"), el("p", { class: "lead" }, p.words, mark(told.unverified)), o.notes.filter((words) => !words.startsWith("program ") || words.startsWith(`program ${told.programs[i].name}:`)).map((words) => el("div", { class: "notice" }, words)),
    el("div", { class: "panels" }, panel(`Pain with ${told.programs[i].name}`, p.pain, WITH, [0, 10], "NRS, 0 to 10"), panel("Pain without stimulation", o.without, WITHOUT, [0, 10], ""), panel("Quality of life (EQ-5D index)", p.eq5d, COLOURS[2], null, "1: full health")),
    el("p", { class: "help" }, `Line: middle; dark and light shade: 50 and 90 % of ${o.samples.toLocaleString("en")} drawn people like this one. The dip is the trial stage, when hope is high.`),
    el("div", { class: "grid gate-two" }, el("div", {}, el("h3", {}, "Chances with a stimulator"), chances), el("div", {}, el("h3", {}, "What drives the uncertainty"), tornado), el("div", {}, el("h3", {}, "What takes pain away"), taken)),
    el("details", {}, el("summary", {}, "The same as a table"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "what may be expected, as a table" }, table), el("p", { class: "help" }, "Middle and 90 % of people like this one. Shares are chances of one person. Disability is like the Oswestry index.")));
}

const broken = (words) => words.replace(/^(.{14,}?) /, "$1<br>");

function stages(s) {
  const says = (one) => [el("strong", {}, Math.round(one.middle)), el("small", {}, `${Math.round(one.low)} to ${Math.round(one.high)}`)];
  const step = (head, one, words, kind = "") => el("li", { class: `step ${kind}` }, el("div", { class: "step-head" }, head), one && el("div", { class: "step-number" }, says(one)), el("div", { class: "help" }, words));
  const two = s.years.indexOf(2), lost = { middle: 100 - s.passes.middle, low: 100 - s.passes.high, high: 100 - s.passes.low };
  return el("section", { class: "card" }, el("h2", {}, "The two stages, of 100 people like this one"),
    el("ol", { class: "flow" }, step("Trial stage", null, "100 begin: a lead for a week, and a diary", "first"), step("Pass it", s.passes, "half of the pain gone"), step("Implanted", s.implanted, "the generator for good"),
      step("Still have it after 2 years", s.stays[two], `${Math.round(s.events.find((one) => one.id === "explant").by_year[two].middle)} had it taken out again`, "last")),
    el("p", { class: "help" }, `Do not pass: ${Math.round(lost.middle)} (${s.reasons.filter((one) => one.high >= 0.5).map((one) => `${one.words} ${num(one.middle, "", 1, 2)}`).join(", ")}). Middle and 90 % interval over ${s.worlds} draws of the model with ${s.people} people each.`, mark(s.unverified)),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "after implantation" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "of 100 who begin, within"), s.years.map((year) => el("th", { class: "n" }, year === 1 ? "1 year" : `${year} years`)))),
      el("tbody", {}, s.events.map((one) => el("tr", {}, el("th", { scope: "row" }, one.words), one.by_year.map((each) => el("td", { class: "n" }, `${Math.round(each.middle)} (${Math.round(each.low)} to ${Math.round(each.high)})`)))),
        el("tr", {}, el("th", { scope: "row" }, "still have the stimulator"), s.stays.map((each) => el("td", { class: "n" }, `${Math.round(each.middle)} (${Math.round(each.low)} to ${Math.round(each.high)})`)))))),
    el("p", { class: "help" }, `Taken out within 5 years because of: ${s.explant_reasons.map((one) => `${one.words} ${num(one.middle, "", 1, 2)}`).join(", ")}.`));
}

function notes(told) {
  return el("section", { class: "card" }, el("h2", {}, "What to know about these numbers"),
    told.warnings.length ? el("ul", {}, told.warnings.map((words) => el("li", {}, words))) : el("p", {}, "No warnings."),
    el("details", {}, el("summary", {}, `${told.unverified.length} of ${told.numbers_used} numbers that were used are unverified`), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "unverified numbers" }, el("table", {}, el("thead", {}, el("tr", {}, ["number", "value", "how sure", "source"].map((head) => el("th", {}, head)))),
      el("tbody", {}, told.unverified.map((n) => el("tr", {}, el("td", {}, n.name), el("td", {}, n.note), el("td", {}, n.evidence === "recall" ? "from memory" : "a judgement"), el("td", {}, n.source))))))));
}

// --- for the patient ---

function patient(told, i, stale) {
  const o = told.outcome?.programs[i], year = told.outcome?.months.indexOf(12), of = o && { half: Math.round(o.responder50_percent[year]), third: Math.round(o.responder30_percent[year]) };
  return el("section", { class: "card for-patient" }, el("div", { class: "spread" }, el("h2", {}, `What “${told.programs[i].name}” may do for you`), el("button", { type: "button", class: "noprint", disabled: stale, title: stale ? "the draft has changed; compute again first" : null, onclick: () => print() }, "Print")),
    told.quick && el("p", { class: "help" }, "From a quick look; the full computation is on its way."),
    el("div", { class: "patient-grid" }, of && hundred(of), el("div", {}, told.patient_words[i].map((one, k) => [el("h3", {}, one.head, k < 2 && mark(told.unverified)), el("p", {}, one.words)]))));
}

/** A hundred people: filled, half-filled, empty. */
function hundred({ half, third }) {
  const kind = (k) => (k < half ? "most" : k < third ? "some" : "none");
  const says = `Of 100 people after a year: ${half} have lost half of their pain or more, ${third - half} a third to a half, ${100 - third} less.`;
  const person = (k) => svg("g", { class: kind(k), transform: `translate(${(k % 10) * 22 + 11} ${Math.floor(k / 10) * 30 + 8})` }, svg("circle", { r: 4.5, cy: 0 }), svg("path", { d: "M-7 18a7 11 0 0 1 14 0z" }), kind(k) === "some" && svg("path", { d: "M-7 18a7 11 0 0 1 7 -11v11z", class: "part" }));
  const row = (name, words) => el("li", {}, svg("svg", { viewBox: "-10 -6 20 26", width: 20, height: 26, "aria-hidden": "true", class: "people" }, svg("g", { class: name }, svg("circle", { r: 4.5 }), svg("path", { d: "M-7 18a7 11 0 0 1 14 0z" }), name === "some" && svg("path", { d: "M-7 18a7 11 0 0 1 7 -11v11z", class: "part" }))), words);
  return el("figure", { class: "hundred" }, el("figcaption", {}, "100 people like you after a year"), svg("svg", { viewBox: "0 0 222 304", class: "people", role: "img", "aria-label": says }, Array.from({ length: 100 }, (_, k) => person(k))),
    el("ul", {}, row("most", `${half} lost half of their pain or more`), row("some", `${third - half} lost a third to a half`), row("none", `${100 - third} lost less, or nothing`)));
}
