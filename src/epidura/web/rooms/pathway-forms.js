// Writing an event: the form, what is kept of it, a record that somebody else changed meanwhile, a correction.

import { newKey, Refused } from "../lib/api.js";
import { append, day, el, fill, quiet } from "../lib/dom.js";
import { area, button, check } from "../lib/fields.js";
import { Form } from "../lib/form.js";
import { keep, kept } from "../lib/keep.js";
import { KINDS, lack, mends, ownLists, today } from "./pathway-kinds.js";
import { WIDGETS } from "./pathway-widgets.js";

const moment = (stamp) => new Date(stamp).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const finished = (kind, value) => KINDS[kind].finish?.(value) ?? value;
const tag = (revision) => `"${revision}"`;

/** The form of a kind in a page of its own. `shared`: {lists, kinds, drawing, waveforms}; `refresh()` reads the patient again and gives it. */
export function eventForm(bench, shared, view, kind, refresh) {
  const about = KINDS[kind], name = `pathway.${view.id}.${kind}`, before = kept(name);
  return sheet(bench, shared, view, {
    title: about.act || about.name, kind, name, about: about.about, value: before?.value ?? about.prefill?.(view, bench.me) ?? {}, before, refresh,
    body: (form) => [{ kind, ...finished(kind, form.value) }], words: `${about.name} of ${view.pseudonym}`, after: `#/pathway/${view.id}/${about.section}`,
  });
}

/** A correction of an entry: the same form, filled with what was written, and the reason. The old entry stays. */
export function correctionForm(bench, shared, view, version, refresh) {
  const entry = view.timeline.find((one) => one.version === version);
  if (!entry) return el("div", { class: "card" }, el("h2", {}, "There is no such entry"));
  const name = `pathway.${view.id}.correct-${version}`, before = kept(name), now = entry.corrected?.instead ?? { ...entry.body, on: entry.on };
  const why = area("Why is it corrected?", { rows: 2, value: before?.why ?? "", help: "needed; it stands beside the old entry" }), strike = check("Strike the entry out: it should not be there at all", { checked: before?.strike ?? false });
  const { score: _, alerts: __, ...value } = now;
  let node = null;
  strike.input.addEventListener("change", () => { node.classList.toggle("struck", strike.value); });
  node = sheet(bench, shared, view, {
    title: `Correct: ${KINDS[entry.kind].name} of ${day(entry.on)}`, kind: entry.kind, name, about: "The old entry stays in the record and can be read there; what counts from now on is this.", value: before?.value ?? value, before, refresh,
    extra: [strike, why], keepMore: () => ({ why: why.value, strike: strike.value }), checkMore: () => { why.wrong(why.value.trim() ? "" : "this is needed"); return Boolean(why.value.trim()); }, skip: () => strike.value,
    wrongMore: (path, words) => { if (path !== "why") return false; why.wrong(words); return true; },
    body: (form) => [{ kind: "record.corrected", on: today(), version, why: why.value.trim(), instead: strike.value ? null : finished(entry.kind, form.value) }], words: `Correction of ${view.pseudonym}`, after: `#/pathway/${view.id}`, verb: "Correct",
  });
  node.classList.toggle("struck", strike.value);
  return node;
}

function sheet(bench, shared, start, { title, kind, name, about, value, before, refresh, body, words, after, verb = "Write", extra = [], keepMore = () => ({}), checkMore = () => true, wrongMore = () => false, skip = () => false }) {
  let view = start, seen = start.revision;
  const where = el("div", { class: "where" }), notice = el("div", {}), entry = view.next.find((one) => one.kind === kind);
  let over = false; // sent or dropped: nothing is kept any more
  const remember = quiet(() => { if (!over && node.isConnected) keep(name, { value: form.value, seen, ...keepMore() }); }, 200);
  const form = new Form(shared.kinds[kind].schema, { hints: KINDS[kind], lists: { ...shared.lists, ...ownLists(view) }, value, drawing: shared.drawing, waveforms: shared.waveforms, widgets: WIDGETS, view, me: bench.me, draft: bench.draft, onchange: remember });
  const drop = () => { over = true; keep(name, null); };
  const send = async () => {
    fill(where);
    form.clear();
    const whole = skip() || form.check();
    if (!checkMore() || !whole) { fill(where, el("div", { class: "notice bad", role: "alert" }, "Something is missing or cannot be right; it is marked at its field.")); return; }
    keep(name, { value: form.value, seen, ...keepMore() });
    try {
      const answer = await bench.outbox.put({ method: "POST", path: `/patients/${view.id}/events`, etag: tag(seen), key: newKey(), body: { events: body(form) }, words });
      drop();
      bench.say(answer ? `${title}: written.` : `${title}: kept here, and sent as soon as the server answers.`, answer ? "good" : "");
      leave();
    } catch (failure) {
      if (failure instanceof Refused && failure.status === 412) { await changed(); return; }
      if (failure instanceof Refused && place(failure)) return;
      throw failure;
    }
  };
  const place = ({ error }) => {
    const path = String(error.where ?? "").replace(/^events\[\d+\]\.?/, "").replace(/^instead\.?/, "");
    if (error.missing?.length) { fill(where, missing(view, error.missing, "This cannot be written yet")); where.scrollIntoView({ block: "nearest" }); return true; }
    const said = [error.problem, error.got !== null && error.got !== "" && error.got !== undefined ? `given: ${error.got}` : "", error.allowed ? `allowed: ${error.allowed}` : "", error.hint].filter(Boolean).join("; ");
    if (!path || KINDS[path]) return false;
    if (!wrongMore(path, said)) form.wrong(path, said);
    fill(where, el("div", { class: "notice bad", role: "alert" }, "The record did not take this; what is wrong stands at its field."));
    return true;
  };
  const changed = async () => {
    const fresh = await refresh();
    const news = fresh.timeline.filter((one) => one.version > seen);
    view = fresh;
    const list = newsOf(news);
    const box = el("dialog", { class: "conflict", "aria-labelledby": "conflict-title" }, el("h2", { id: "conflict-title" }, "Somebody else changed this record in between"),
      el("p", {}, "Nothing of yours was written, and nothing of theirs is lost. Since you opened this form:"), list, el("p", {}, "What you entered is still here."),
      el("div", { class: "row" },
        el("button", { type: "button", class: "main", onclick: () => { seen = fresh.revision; close(); submit.click(); } }, "Write mine as well"),
        el("button", { type: "button", onclick: () => { seen = fresh.revision; close(); fill(notice, el("div", { class: "notice warn" }, el("strong", {}, "Changed by somebody else while you were writing:"), newsOf(news))); submit.focus(); } }, "Look first"),
        el("button", { type: "button", class: "danger", onclick: () => { close(); drop(); leave(); } }, "Drop mine")));
    const close = () => { box.close(); box.remove(); };
    box.addEventListener("cancel", () => { setTimeout(() => box.remove()); });
    document.body.append(box);
    box.showModal();
  };
  const leave = () => { bench.go(after); };
  const submit = button(verb, send, { kind: "main", where, type: "submit" });
  if (before && before.seen !== undefined && before.seen < seen) {
    const news = view.timeline.filter((one) => one.version > before.seen);
    if (news.length) fill(notice, el("div", { class: "notice warn" }, el("strong", {}, "The record has changed since you began this:"), newsOf(news)));
  }
  const node = el("form", { class: "card sheet", novalidate: true, onsubmit: (event) => event.preventDefault(), "aria-label": title },
    el("h2", {}, title), about && el("p", { class: "help" }, about),
    before && el("div", { class: "notice spread" }, "This was begun earlier and not sent. ", el("button", { type: "button", onclick: () => { drop(); location.reload(); } }, "Begin afresh")),
    extra.length || entry ? null : el("div", { class: "notice warn" }, `The stage is ${view.stage}; this is written at another one. The record will say what is missing.`),
    entry?.missing.length && !extra.length ? missing(view, entry.missing, "Before this can be written") : null, notice, form.node, extra, where,
    el("div", { class: "row actions" }, submit, el("button", { type: "button", onclick: () => { drop(); leave(); } }, "Cancel")));
  node.addEventListener("input", remember);
  return node;
}

/** New entries of somebody else. */
function newsOf(news) {
  return news.length ? el("ul", { class: "news" }, news.map((one) => el("li", {}, el("strong", {}, KINDS[one.kind]?.name ?? one.kind), one.words && `: ${one.words}`, el("span", { class: "help" }, ` by ${one.who}, ${moment(one.recorded)}`))))
    : el("p", { class: "help" }, "Only the diary or a questionnaire of the patient came in.");
}

/** What is missing, each with a link to the form that mends it. */
export function missing(view, lacks, title) {
  return el("div", { class: "notice warn" }, el("strong", {}, title), el("ul", {}, lacks.map((one) => { const kind = mends(one); return el("li", {}, lack(one), kind && [" ", el("a", { href: `#/pathway/${view.id}/record/${kind}` }, KINDS[kind].act.toLowerCase())]); })));
}

/** Refer a patient who is not in the record yet: who it is, and the referral, written together. */
export function referForm(bench, shared) {
  const name = "pathway.new", before = kept(name), where = el("div", {});
  const identityHints = { order: ["on", "identity", "sex", "language"], fields: { ...KINDS["patient.identified"].fields, on: { hide: true }, why: { hide: true } } };
  const common = { lists: shared.lists, drawing: shared.drawing, widgets: WIDGETS, me: bench.me };
  const remember = quiet(() => { if (node.isConnected) keep(name, { who: who.value, referral: referral.value }); }, 200);
  const who = new Form(shared.kinds["patient.registered"].schema, { ...common, hints: identityHints, value: before?.who ?? {}, onchange: remember });
  const referral = new Form(shared.kinds["referral.received"].schema, { ...common, hints: KINDS["referral.received"], value: before?.referral ?? {}, onchange: remember });
  const send = async () => {
    fill(where);
    const good = [who.check(), referral.check()].every(Boolean);
    if (!good) { fill(where, el("div", { class: "notice bad", role: "alert" }, "Something is missing; it is marked at its field.")); return; }
    const told = referral.value, person = who.value;
    try {
      const answer = await bench.outbox.put({ method: "POST", path: "/patients", key: newKey(), words: "Referral of a new patient",
        body: { events: [{ kind: "patient.registered", ...person, on: told.on, birth_year: Number(person.identity.birth_date.slice(0, 4)) }, { kind: "referral.received", ...told }] } });
      keep(name, null);
      bench.say(answer ? "The patient is in the record." : "Kept here, and sent as soon as the server answers.", answer ? "good" : "");
      bench.go(answer ? `#/pathway/${answer.id}` : "#/pathway");
    } catch (failure) {
      const [, which, path] = /^events\[(\d)\]\.?(.*)$/.exec(failure.error?.where ?? "") ?? [];
      if (!which) throw failure;
      const { problem, allowed, hint } = failure.error;
      (which === "0" ? who : referral).wrong(path === "birth_year" ? "identity.birth_date" : path, [problem, allowed && `allowed: ${allowed}`, hint].filter(Boolean).join("; "));
    }
  };
  const node = el("form", { class: "card sheet", novalidate: true, onsubmit: (event) => event.preventDefault(), "aria-label": "Refer a patient" }, el("h2", {}, "Refer a patient"),
    el("p", { class: "help" }, "The patient enters the record with the referral. Names stay with those who treat; lists elsewhere show a pseudonym."),
    before && el("div", { class: "notice spread" }, "This was begun earlier and not sent. ", el("button", { type: "button", onclick: () => { keep(name, null); location.reload(); } }, "Begin afresh")),
    who.node, el("h3", {}, "Referral"), referral.node, where, el("div", { class: "row actions" }, button("Refer", send, { kind: "main", where, type: "submit" }), el("button", { type: "button", onclick: () => { keep(name, null); bench.go("#/pathway"); } }, "Cancel")));
  return node;
}

/** Entries of this patient that wait for the server, and those that it refused after all. */
export function pending(bench, view) {
  const path = `/patients/${view.id}/events`, waiting = bench.outbox.waiting.filter((one) => one.path === path), refused = kept("refused", []).filter((one) => one.path === path);
  if (!waiting.length && !refused.length) return null;
  const node = el("div", {});
  if (waiting.length) append(node, [el("div", { class: "notice warn" }, el("strong", {}, "Waiting for the server"), el("ul", {}, waiting.map((one) => el("li", {}, said(one)))))]);
  for (const one of refused) {
    const gone = () => keep("refused", kept("refused", []).filter((other) => other.key !== one.key)), event = one.body.events[0];
    append(node, [el("div", { class: "notice bad" }, el("strong", {}, "Not written: "), said(one), el("div", {}, one.error.missing?.length ? one.error.missing.map(lack).join("; ") : [one.error.where, one.error.problem].filter(Boolean).join(": ")),
      el("div", { class: "row" }, el("button", { type: "button", onclick: () => {
        const { kind, ...value } = event;
        if (kind === "record.corrected") keep(`pathway.${view.id}.correct-${value.version}`, { value: value.instead ?? {}, why: value.why, strike: value.instead === null });
        else keep(`pathway.${view.id}.${kind}`, { value });
        gone();
        bench.go(kind === "record.corrected" ? `#/pathway/${view.id}/correct/${value.version}` : `#/pathway/${view.id}/record/${kind}`);
      } }, "Open it again"), el("button", { type: "button", class: "danger", onclick: (press) => { gone(); press.target.closest(".notice").remove(); } }, "Drop it")))]);
  }
  return node;
}
const said = (one) => one.body.events.map((event) => `${KINDS[event.kind]?.name ?? event.kind} of ${day(event.on)}`).join(", ");

