// Cohorts: studies of virtual patients, started, watched and opened. A study runs by itself on the server; this page only looks at it.

import { back, del, get, Latest, net, Offline, post } from "../lib/api.js";
import { chart, COLOURS, DASHES, SYMBOLS } from "../lib/charts.js";
import { day, el, fill, num } from "../lib/dom.js";
import { area, button, choice, number, select } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";
import { mark } from "../lib/marks.js";

const STATES = { running: ["running", "▶", ""], done: ["done", "✓", "good"], stopped: ["stopped", "■", "warn"], interrupted: ["interrupted", "!", "warn"], failed: ["failed", "✕", "bad"] };

export default async function (main, bench) {
  if (!document.querySelector("link[data-room=cohorts]")) document.head.append(el("link", { rel: "stylesheet", href: "/web/rooms/cohorts.css", "data-room": "cohorts" }));
  const [chosen] = bench.parts;
  const list = el("aside", { class: "card studies", "aria-label": "studies" }), body = el("div", { class: "stack study" });
  fill(main, el("h1", {}, "Cohorts"), el("div", { class: "cohorts" }, list, body));
  const gone = new AbortController();
  let known = null, shown = "";

  const first = await get("/cohorts");
  paint(first);
  const panel = chosen ? await open(body, chosen, bench, refresh) : await fresh(body, bench, first);
  watch();
  return () => gone.abort();

  function paint(told) {
    known = told;
    const text = JSON.stringify(told.studies);
    if (text === shown) return;
    shown = text;
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    fill(list, el("a", { class: `button${chosen ? "" : " main"}`, href: "#/cohorts", "aria-current": chosen ? null : "page" }, "New study"),
      told.studies.length ? el("ul", {}, told.studies.map((one) => el("li", {}, el("a", { href: `#/cohorts/${one.id}`, "aria-current": one.id === chosen ? "page" : null, class: "entry" },
        el("span", { class: "entry-title" }, one.title), el("span", { class: "spread" }, tag(one.state), el("span", { class: "help" }, `${one.patients.toLocaleString("en")} patients`)),
        one.state === "running" && el("progress", { max: 1, value: one.share, "aria-label": `progress of ${one.title}` }), el("span", { class: "help" }, `${one.name || "somebody"}, ${day(one.begun)}`))))) : el("p", { class: "help" }, "No study has been started on this server."));
    if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  }

  async function refresh() {
    const told = await get("/cohorts", { signal: gone.signal });
    paint(told);
    return told;
  }

  /** Looks once a second while something runs, and now and then otherwise. */
  async function watch() {
    while (!gone.signal.aborted) {
      await new Promise((done) => { const timer = setTimeout(done, known.studies.some((one) => one.state === "running") ? 1000 : 5000); gone.signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true }); });
      if (gone.signal.aborted) return;
      if (document.hidden) continue;
      try {
        const told = await refresh();
        await panel?.(told.studies.find((one) => one.id === chosen));
      } catch (failure) {
        if (failure.name === "AbortError") return;
        if (!(failure instanceof Offline)) { if (failure.status === 401) await new Promise((done) => setTimeout(done, 3000)); else { bench.complain(body, failure); return; } }
        if (net.offline) try { await back(gone.signal); } catch { return; }
      }
    }
  }
}

const tag = (state) => { const [words, sign, kind] = STATES[state]; return el("span", { class: `tag ${kind}` }, el("span", { "aria-hidden": "true" }, `${sign} `), words); };

// --- a new one ---

async function fresh(body, bench, told) {
  const { examples } = await get("/cohorts/examples");
  const was = kept("cohorts.form", {});
  const form = { text: was.text ?? examples[0].text, example: was.example ?? examples[0].id, around: was.around ?? "study", patients: was.patients ?? 200, workers: Math.min(was.workers ?? 2, told.cores), seed: was.seed ?? "" };
  const save = () => keep("cohorts.form", form);
  const wrong = el("div"), plan = el("div", { "aria-live": "polite" }), latest = new Latest();
  const text = area("STUDY.yaml", { value: form.text, rows: 22, maxlength: 200000, help: "Population, arms, visits and the case that people are drawn around. Everything in it can be changed.", oninput: () => { form.text = text.value; form.example = ""; which.value = ""; save(); fill(plan); fill(wrong); } });
  text.input.classList.add("code");
  text.input.spellcheck = false;
  const which = select("Begin with", [...examples.map((one) => ({ value: one.id, label: one.title })), { value: "", label: "a text of your own" }], { value: form.example, wide: true, onchange: () => {
    const one = examples.find((each) => each.id === which.value);
    if (!one) { form.example = ""; save(); text.input.focus(); return; }
    form.example = one.id; form.text = text.value = one.text; save(); fill(plan); fill(wrong); } });
  const draft = bench.draft?.case;
  const around = choice("People are drawn around", [{ value: "study", label: "the case in the study" }, { value: "draft", label: `the draft${draft?.title ? `: ${draft.title}` : ""}`, disabled: !draft }],
    { value: form.around, onchange: (value) => { form.around = value; save(); fill(plan); }, help: "The draft is what Plan and Program work on. Arms name programs of it." });
  const [low, high] = told.patients;
  const field = (key, label, more) => { const node = number(label, { value: form[key], step: 1, ...more, oninput: () => { form[key] = node.input.value === "" ? "" : node.number; node.wrong(""); save(); } }); return node; };
  const patients = field("patients", "Patients", { min: low, max: high, help: `${low} to ${high.toLocaleString("en")}; those of a smaller cohort are the first of a larger one` });
  const workers = field("workers", "Processes", { min: 1, max: told.cores, help: `1 to ${told.cores}, the processors of this server` });
  const seed = field("seed", "Seed", { min: 0, help: "left empty: that of the study" });
  const asked = () => ({ text: text.value, ...(around.value === "draft" ? { case: draft } : {}), ...(seed.number === null ? {} : { seed: seed.number }) });

  /** Says what is wrong at its field. */
  function refused(failure) {
    const where = failure.error?.where ?? "", node = { patients, workers, seed }[where.split(".").at(-1)];
    if (node) { node.wrong([failure.error.problem, failure.error.allowed && `allowed: ${failure.error.allowed}`].filter(Boolean).join("; ")); node.input.focus(); return; }
    fill(wrong, bench.complain(wrong, failure));
    if (/^(case|population|arms|months|surrogate|costs|blinding|study)/.test(where)) { text.wrong(`see “${where}” in the text`); text.input.focus(); }
  }

  async function check() {
    fill(wrong); text.wrong("");
    try {
      const plans = await latest.run((signal) => post("/cohorts/check", asked(), { signal }));
      if (!plans) return false;
      fill(plan, el("div", { class: "notice good" }, el("strong", {}, "This study can be run."), el("div", {}, `${plans.indication}; arms: ${plans.arms.map((one) => `${one.name} (${one.program.replaceAll("-", " ")})`).join("; ")}.`),
        el("div", {}, `Visits at ${plans.months.map((month) => num(month)).join(", ")} months, ${plans.replicates} replicates, seed ${plans.seed}.`),
        el("div", {}, plans.runs === null ? "The full chain is run for every person, which takes long." : `The full chain is run ${plans.runs} times first, which takes most of the time; then each patient takes some hundredths of a second.`)));
      return true;
    } catch (failure) { fill(plan); refused(failure); return false; }
  }

  async function start() {
    for (const [node, least, most] of [[patients, low, high], [workers, 1, told.cores]]) {
      if (node.number === null || node.number < least || node.number > most || !Number.isInteger(node.number)) { node.wrong(`a whole number from ${least} to ${most.toLocaleString("en")}`); node.input.focus(); return; }
    }
    fill(wrong); text.wrong("");
    try {
      const made = await post("/cohorts", { ...asked(), patients: patients.number, workers: workers.number });
      bench.say(`“${made.title}” has been started. It runs on the server, also when this page is closed.`, "good");
      bench.go(`#/cohorts/${made.id}`);
    } catch (failure) { refused(failure); }
  }

  fill(body, el("section", { class: "card" }, el("h2", {}, "A new study"), el("p", { class: "help" }, "Virtual patients go through the arms of a study: trial stage, implantation, visits, explants. The same people live in every arm."),
    which, text, around, el("div", { class: "numbers" }, patients, workers, seed), wrong, plan,
    el("div", { class: "row" }, button("Start", start, { kind: "main" }), button("Check", check))));
  return null;
}

// --- one of them ---

async function open(body, id, bench, refresh) {
  let one, before = "", results = false;
  try { one = await get(`/cohorts/${id}`); } catch (failure) {
    if (failure.status !== 404) throw failure;
    fill(body, el("section", { class: "card" }, el("h2", {}, "No such study"), el("p", {}, "It may have been removed."), el("p", {}, el("a", { href: "#/cohorts" }, "Start a new one"))));
    return null;
  }
  const head = el("section", { class: "card" }), rest = el("div", { class: "stack" }), wrong = el("div");
  fill(body, head, rest);
  await show(one);
  return async (now) => { if (now) await show(now); else fill(body, el("section", { class: "card" }, el("h2", {}, "This study has been removed"), el("p", {}, el("a", { href: "#/cohorts" }, "Start a new one")))); };

  async function act(what) {
    await what();
    const told = await refresh();
    const now = told.studies.find((each) => each.id === id);
    if (now) await show(now);
  }

  async function show(now) {
    const text = JSON.stringify(now);
    if (text === before) return;
    before = text;
    const focused = head.contains(document.activeElement) ? document.activeElement.textContent : "";
    const words = { running: now.words, stopped: "Stopped. What is finished is kept; go on whenever you like.", interrupted: "Its process ended, perhaps with the machine. What is finished is kept.", failed: now.problem, done: "" }[now.state];
    fill(head, el("div", { class: "spread" }, el("h2", {}, now.title), tag(now.state)),
      el("p", { class: "help" }, `${now.patients.toLocaleString("en")} patients, ${now.workers} ${now.workers === 1 ? "process" : "processes"}, seed ${now.seed}; started by ${now.name || "somebody"} on ${day(now.begun)}`),
      now.state === "running" && el("div", {}, el("div", { class: "spread" }, el("span", {}, words), el("span", { class: "n" }, `${Math.floor(100 * now.share)} %`)), el("progress", { max: 1, value: now.share, "aria-label": "progress of the study" })),
      now.state !== "running" && words && el("div", { class: `notice ${now.state === "failed" ? "bad" : "warn"}` }, words), wrong,
      el("div", { class: "row" }, now.mine && now.state === "running" && button("Stop", () => act(() => post(`/cohorts/${id}/stop`)), { where: wrong }),
        now.mine && !["running", "done"].includes(now.state) && button("Go on", () => act(() => post(`/cohorts/${id}/resume`)), { kind: "main", where: wrong }),
        now.state === "done" && downloads(id),
        now.mine && now.state !== "running" && button("Remove", async () => {
          if (!confirm(`Remove “${now.title}” with all its results?`)) return;
          await del(`/cohorts/${id}`);
          bench.go("#/cohorts");
        }, { kind: "danger", where: wrong }), !now.mine && now.state === "running" && el("span", { class: "help" }, "Only who started it can stop it.")));
    if (focused) [...head.querySelectorAll("button, a")].find((node) => node.textContent === focused)?.focus();
    if (now.state === "done" && !results) {
      results = true;
      opened(rest, await get(`/cohorts/${id}/summary`));
    }
  }
}

function downloads(id) {
  const to = (file, words) => el("a", { class: "button", href: `/api/v1/cohorts/${id}/files/${file}`, download: "" }, words);
  return [el("a", { class: "button main", href: `/api/v1/cohorts/${id}/report`, target: "_blank", rel: "noopener" }, "Report", el("span", { class: "sr" }, " (opens in a new tab)")),
    el("details", { class: "files" }, el("summary", { class: "button" }, "Download"), el("div", { class: "row" }, to("patients.parquet", "patients, Parquet"), to("patients.csv", "patients, CSV"), to("visits.parquet", "visits, Parquet"), to("visits.csv", "visits, CSV"), to("study.yaml", "study, YAML"), to("study.json", "summary, JSON")))];
}

const percent = (value, digits = 0) => (value?.median == null ? "–" : `${(100 * value.median).toFixed(digits)} % (${(100 * value.interval_90[0]).toFixed(digits)} to ${(100 * value.interval_90[1]).toFixed(digits)})`);
const plainly = (value, digits) => (value?.median == null ? "–" : `${value.median.toFixed(digits)} (${value.interval_90[0].toFixed(digits)} to ${value.interval_90[1].toFixed(digits)})`.replaceAll("-", "−"));
const faint = (colour, share) => { const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)); return `rgba(${r},${g},${b},${share})`; };
const table = (says, heads, rows) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": says }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((head, k) => el("th", { class: k ? "n" : "", scope: "col" }, head)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, k) => (k ? el("td", { class: "n" }, cell) : el("th", { scope: "row" }, cell))))))));

function opened(rest, found) {
  let bright = 0;
  const looks = found.arms.map((arm, k) => ({ colour: arm.stimulated ? COLOURS[bright++ % COLOURS.length] : "#7b8794", dash: DASHES[k % DASHES.length], symbol: SYMBOLS[k % SYMBOLS.length] }));
  const last = found.months.at(-1), at = (arm, name) => ({ median: found.months.map((m) => arm[`${name} ${m}`].median), interval_50: found.months.map((m) => arm[`${name} ${m}`].interval_50), interval_90: found.months.map((m) => arm[`${name} ${m}`].interval_90) });
  const stimulated = found.arms.filter((arm) => arm.stimulated);
  fill(rest, el("section", { class: "card" }, el("h2", {}, "In short"), el("p", {}, `${found.patients.toLocaleString("en")} virtual patients with ${found.evidence.name ?? found.indication.replaceAll("-", " ")}, the same people in every arm, in ${found.replicates} replicates. Numbers: median and 90 % interval over draws of the model and of the patients.`,
    mark([{ name: "laws of the outcome, practice and the gate", evidence: "judgement", source: "the notes below say which", note: found.notes.slice(0, 3).join(" ") }])),
    el("p", {}, "Evidence for this indication: ", el("span", { class: "tag" }, found.evidence.grade), ` ${found.evidence.words}`),
    table("the arms in short", ["arm", "pass the trial", "implanted", `half of the pain gone, ${num(last)} months`, "lost the effect", "taken out again"], found.arms.map((arm) => [arm.name, arm.tried ? percent(arm.passed) : "–", arm.stimulated ? percent(arm.implanted) : "–", percent(arm[`responder50 ${last}`]), arm.stimulated ? percent(arm.lost) : "–", percent(out(arm), 1)])),
    el("p", { class: "help" }, "The first columns are of those tried and of all; effect lost and taken out are of the implanted."), found.notes.length > 0 && el("details", {}, el("summary", {}, `${found.notes.length} things to know`), el("ul", {}, found.notes.map((words) => el("li", {}, words))))),
  el("section", { class: "card" }, el("h2", {}, "Responders"), el("div", { class: "plots" },
    figure("Half of the pain gone, of all who were enrolled", bands(found.arms, looks, (arm) => [found.months, at(arm, "responder50")], { markers: true }), { xaxis: { title: { text: "months after the verdict" }, tickvals: found.months, rangemode: "tozero" }, yaxis: { range: [0, 100], title: { text: "% of patients" } } },
      found.arms.map((arm) => `${arm.name}: ${found.months.map((m) => `${num(m)} months ${percent(arm[`responder50 ${m}`])}`).join(", ")}`).join("; ")),
    figure(`Cumulative responders after ${num(last)} months`, bands(found.arms, looks, (arm) => [arm.cumulative.relief.map((x) => 100 * x), arm.cumulative]), { xaxis: { title: { text: "relief of at least, % of the pain at enrolment" } }, yaxis: { range: [0, 100], title: { text: "% of patients" } }, shapes: [30, 50].map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 100, line: { width: 1, dash: "dot", color: "#7b8794" } })) },
      "For every relief, the share of all enrolled who have it or more")),
    el("details", {}, el("summary", {}, "As a table"), table("responders", ["arm", "after", "half gone", "half gone, of the implanted", "30 % gone", "pain (NRS)", `EQ-5D index (${found.country})`], found.arms.flatMap((arm) => found.months.map((m) => [arm.name, `${num(m)} months`, percent(arm[`responder50 ${m}`]), percent(arm[`responder50 implanted ${m}`]), percent(arm[`responder30 ${m}`]), plainly(arm[`nrs ${m}`], 1), plainly(arm[`index ${m}`], 2)]))))),
  el("section", { class: "card" }, el("h2", {}, "Still has the stimulator"), stimulated.some((arm) => arm.explant_free) ? el("div", { class: "plots" }, figure("Kaplan-Meier: share of the implanted without an explant",
    bands(stimulated.filter((arm) => arm.explant_free), looks.filter((_, k) => found.arms[k].stimulated && found.arms[k].explant_free), (arm) => [arm.explant_free.month, arm.explant_free], { step: true }),
    { xaxis: { title: { text: "months after implantation" } }, yaxis: { title: { text: "% of the implanted" }, range: [Math.max(0, 100 * Math.min(...stimulated.filter((arm) => arm.explant_free).flatMap((arm) => arm.explant_free.interval_90.map((pair) => pair[0]))) - 5), 100.5] } },
    stimulated.filter((arm) => arm.explant_free).map((arm) => `${arm.name}: taken out ${percent(out(arm), 1)} by ${num(last)} months`).join("; ")),
  el("div", {}, stimulated.some((arm) => arm.explants.length) ? table("why stimulators were taken out", ["arm, taken out for", "share of the implanted"], stimulated.flatMap((arm) => arm.explants.map((one) => [`${arm.name}: ${found.reason_words[one.reason] ?? one.reason}`, `${(100 * one.share).toFixed(1)} %`]))) : el("p", {}, "No stimulator was taken out."))) : el("p", {}, "Nobody was implanted.")),
  el("section", { class: "card" }, el("h2", {}, "Who fails, and why"), el("div", { class: "plots" }, stimulated.map((arm) => fails(found, arm, last))),
    el("p", { class: "help" }, "Means over patients and replicates, the largest difference first. In the model relief comes from pain, expectation, own answer and reach; anatomy acts through what the program reaches. That is an assumption, not a finding.")),
  costs(found), chain(found));
}

function out(arm) {
  if (!arm.explant_free) return null;
  const [low, high] = arm.explant_free.interval_90.at(-1);
  return { median: 1 - arm.explant_free.median.at(-1), interval_90: [1 - high, 1 - low] };
}

function bands(arms, looks, of, { markers = false, step = false } = {}) {
  const shape = step ? { shape: "hv" } : {}, fainter = Math.min(1, 2 / arms.length);
  return arms.flatMap((arm, k) => {
    const [x, found] = of(arm), { colour, dash, symbol } = looks[k];
    const shades = [["interval_90", 0.14], ["interval_50", 0.24]].flatMap(([key, share]) => [0, 1].map((end) => ({ x, y: found[key].map((pair) => 100 * pair[end]), mode: "lines", line: { width: 0, ...shape }, hoverinfo: "skip", showlegend: false, legendgroup: arm.name, ...(end ? { fill: "tonexty", fillcolor: faint(colour, fainter * share) } : {}) })));
    return [...shades, { x, y: found.median.map((y) => 100 * y), name: arm.name, legendgroup: arm.name, mode: markers ? "lines+markers" : "lines", line: { color: colour, dash, width: 2.5, ...shape }, marker: { symbol, size: 8 }, hovertemplate: "%{y:.0f} %" }];
  });
}

function figure(title, traces, more, says) {
  const node = el("div", { class: "plot" });
  chart(node, traces, { margin: { l: 50, r: 10, t: 34, b: 46 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, ...more }, `${title}. ${says}`, { displayModeBar: false });
  return el("figure", {}, el("figcaption", {}, el("strong", {}, title)), node);
}

function fails(found, arm, last) {
  const parts = [];
  if (arm.failures.length) parts.push(table(`why the trial stage failed, ${arm.name}`, ["why the trial stage failed", "of those tried"], arm.failures.map((one) => [found.reason_words[one.reason] ?? one.reason, `${(100 * one.share).toFixed(1)} %`])));
  for (const [key, heads] of [["trial", ["fail the trial", "pass it"]], ["last visit", [`implanted, not half gone at ${num(last)} months`, "half gone"]]]) {
    const rows = (arm.apart[key] ?? []).slice(0, 6), value = (x, unit) => num(x, unit === "1" ? "" : unit, 1, 3);
    if (rows.length) parts.push(table(`who fails, ${arm.name}, ${key}`, [key === "trial" ? "who fails the trial: mean of" : "whose pain stays: mean of", ...heads, "difference, SD"], rows.map((one) => [found.covariate_words[one.covariate] ?? one.covariate, value(one.failed, one.unit), value(one.others, one.unit), `${one.standardised > 0 ? "+" : ""}${one.standardised.toFixed(2)}`.replace("-", "−")])));
  }
  return el("div", {}, el("h3", {}, arm.name), parts.length ? parts : el("p", {}, "Nobody fails, or too few to tell."));
}

function costs(found) {
  const of = found.costs;
  if (!of) return null;
  const amount = (x) => (Math.abs(x) >= 100 ? Math.round(x).toLocaleString("en") : num(x)).replace("-", "−"), span = (value, form) => `${form(value.mean)} (${form(value.interval_95[0])} to ${form(value.interval_95[1])})`, qaly = (x) => x.toFixed(3).replace("-", "−");
  return el("section", { class: "card" }, el("h2", {}, "Cost and QALYs"), table("costs of the arms", ["arm", `cost, ${of.currency} a patient`, "QALYs a patient"], of.arms.map((arm) => [arm.name, span(arm.cost, amount), span(arm.qaly, qaly)])),
    table("comparisons", ["comparison", `more cost, ${of.currency}`, "more QALYs", "cost of a QALY"], of.comparisons.map((one) => [`${one.new} against ${one.old}`, span(one.cost, amount), span(one.qaly, qaly), one.ratio === null ? one.verdict : `${amount(one.ratio)} ${of.currency}`])),
    el("p", { class: "help" }, `Until ${num(of.months)} months after the verdict, discounted at ${(100 * of.discount).toFixed(1)} % a year. Mean and 95 % interval. Prices are those written in the study.`));
}

function chain(found) {
  const of = found.surrogate;
  return el("section", { class: "card" }, el("h2", {}, "What programs reach"), of.by === "full-chain" ? el("p", {}, "The full chain was run for every person.") : [
    el("p", {}, `The full chain was run at ${of.nodes} nodes; patients stand between them.`), of.errors.length ? table("error of the surrogate", of.head, of.errors) : el("p", {}, "The surrogate was not compared with the full chain; its error is not known.")],
  el("p", { class: "help" }, Object.entries(found.versions).map(([name, version]) => `${name} ${version}`).join(", ")));
}
