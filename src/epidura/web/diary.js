// The diary on a patient's phone: one page, one form. What is saved is on the phone first and at the clinic as soon as it can be reached.

import { Offline, Refused, get, net, newKey, post, sign } from "./lib/api.js";
import { el, fill } from "./lib/dom.js";
import { chart } from "./diary/chart.js";
import { Form } from "./diary/form.js";
import { Keep } from "./diary/keep.js";
import { send } from "./diary/send.js";
import { LANGUAGE, LOCALE, howMany, t } from "./diary/words.js";

const SHOWN = 7, CHARTED = 14, KEPT = 35; // days in the strip, in the chart, and for which what was sent stays on the phone
const AGAIN = 20_000; // ms until what could not be sent is tried again
const root = document.getElementById("diary");

const iso = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
const ago = (n) => { const date = new Date(); date.setHours(12, 0, 0, 0); date.setDate(date.getDate() - n); return iso(date); };
const spelt = (one, options = { weekday: "long", day: "numeric", month: "long" }) => { const [y, m, d] = one.split("-").map(Number); return new Date(y, m - 1, d, 12).toLocaleDateString(LOCALE, options); };
const named = (one) => (one === ago(0) ? t("today").toLowerCase() : one === ago(1) ? t("yesterday").toLowerCase() : spelt(one));

let keep, form, day = ago(0), patient = null, state = "starting", pending = "", drawing = null, slots = [], server = [], entries = [], mending = null, done = null, foreign = 0, drawn = "";
// state: starting, in, offline (nobody was asked yet), out (may not send), nobody (no diary on this phone)

const notices = el("div", { class: "notices" }), chip = el("p", { class: "chip", role: "status" }), week = el("div", {}), place = el("main", { id: "main" }), hint = el("p", { class: "help", role: "status" }), below = el("div", { class: "below" });

const other = el("input", { type: "date", onchange: () => { if (other.value && other.value <= ago(0)) show(other.value); } });
const strip = el("div", {}, week, el("label", { class: "other" }, el("span", {}, t("other")), other));

// ---- coming in

async function begin() {
  document.documentElement.lang = LANGUAGE;
  document.title = t("title");
  pending = location.hash.slice(1);
  if (pending) history.replaceState(null, "", location.pathname); // a link that was used must not stay where others may read it
  keep = await Keep.open();
  patient = (await keep.about("patient")) ?? null;
  drawing = (await keep.about("drawing")) ?? null;
  slots = (await keep.about("slots")) ?? [];
  server = (await keep.about("days")) ?? [];
  form = new Form(answered);
  fill(root, el("header", { class: "top" }, el("h1", {}, el("img", { src: "/web/icon.svg", alt: "", width: 30, height: 30 }), t("title")), chip), notices, place, below);
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/diary-worker.js", { scope: "/diary" }).catch((failure) => console.warn(failure));
  if (!keep.keeps) notice("warn", t("noKeep"));
  net.addEventListener("offline", status);
  net.addEventListener("online", connect);
  addEventListener("online", connect);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") back(); });
  addEventListener("focus", back);
  setInterval(() => { if (entries.some((one) => one.state === "kept") && document.visibilityState === "visible") connect(); }, AGAIN);
  if (patient) { await reread(); await show(ago(0)); }
  else fill(place, el("p", { class: "help" }, "…"));
  await connect();
}

let looked = 0;
async function back() {
  if (state === "starting" || busy || Date.now() - looked < 2000) return; // focus and visibility come together
  looked = Date.now();
  await reread();
  if (drawn !== ago(0) && form.node.isConnected) await show(drawn === day && !form.enough ? ago(0) : day, false); // midnight went by
  else strips();
  await connect();
}

let busy = null, again = false;
/** Looks who is in, uses a link, fetches what is new, sends what is kept. One at a time; what is asked for meanwhile is done afterwards. */
function connect() {
  if (busy) { again = true; return busy; }
  busy = talk().catch((failure) => { if (!(failure instanceof Offline || failure instanceof Refused)) console.error(failure); }).finally(() => {
    busy = null;
    status();
    if (again) { again = false; connect(); }
  });
  return busy;
}

async function talk() {
  let me = null;
  try {
    try { me = await get("/me"); } catch (failure) { if (!(failure instanceof Refused && failure.status === 401)) throw failure; }
    if (pending) me = await use(me);
    if (me === undefined) return; // waits for an answer
    if (me && me.person.role !== "patient") { page(t("staffOnly"), t("staffOnlyWhy", me.person), el("a", { class: "button main", href: "/" }, t("staffBack"))); return; }
    if (!me) { await ended(); return; }
    sign(me.csrf);
    if (patient && patient !== me.patient) await another(me.patient);
    if (patient !== me.patient) { patient = me.patient; await keep.setAbout("patient", patient); }
  } catch (failure) {
    if (state === "starting" || state === "nobody") state = "offline";
    if (failure instanceof Offline && !patient) page(t("noOwner"), pending ? t("waiting") : t("offlineFirst"));
    throw failure;
  }
  const first = state !== "in";
  state = "in";
  status();
  await reread();
  if (first && !form.node.isConnected && !done) await show(day);
  await deliver();
  await fetched();
}

/** Uses the link. undefined: a person has to decide first. */
async function use(me) {
  if (me && me.person.role !== "patient") {
    page(t("staff"), t("staffWhy", me.person), el("a", { class: "button", href: "/" }, t("staffBack")),
      el("button", { type: "button", class: "main", onclick: async () => { sign(me.csrf); await post("/logout"); sign(""); fill(place, el("p", { class: "help" }, "…")); connect(); } }, t("staffGo")));
    return undefined;
  }
  const link = pending;
  try {
    const told = await post("/diary-login", { link });
    pending = "";
    return { person: told.person, patient: told.patient, csrf: told.csrf };
  } catch (failure) {
    if (failure instanceof Offline || (failure instanceof Refused && (failure.status >= 500 || failure.status === 429))) throw failure;
    pending = "";
    if (me) { notice("", t("linkUsed")); return me; }
    notice("bad", el("strong", {}, t("linkBad")), el("div", {}, t("linkBadWhy")), el("div", {}, t("linkAsk")));
    return null;
  }
}

/** Nobody is in: what was sent is cleared from the phone, what was not stays and waits for a new link. */
async function ended() {
  sign("");
  if (!patient) { state = "nobody"; page(t("noOwner"), t("noOwnerWhy"), el("p", {}, t("linkAsk"))); return; }
  state = "out";
  await keep.forget(patient);
  server = [];
  await reread();
  if (!form.node.isConnected && !done) await show(day); else strips();
}

/** The phone had another person's diary: theirs is never sent with this link. */
async function another(next) {
  const old = patient, theirs = (await keep.entries()).filter((one) => one.patient === old && one.state !== "sent");
  await keep.forget(old);
  server = []; slots = []; mending = null; done = null; day = ago(0);
  patient = next;
  await keep.setAbout("patient", next);
  await reread();
  await show(day, false);
  if (!theirs.length) return;
  await new Promise((go) => {
    const ask = el("dialog", { "aria-labelledby": "foreign" }, el("h2", { id: "foreign" }, t("foreign")), el("p", {}, t("foreignWhy", { n: howMany(new Set(theirs.map((one) => one.day)).size) })),
      el("div", { class: "answers" }, el("button", { type: "button", class: "main", onclick: () => ask.close() }, t("foreignKeep")),
        el("button", { type: "button", class: "danger", onclick: async () => { await keep.remove(theirs.map((one) => one.order)); ask.close(); } }, t("foreignDrop"))));
    ask.addEventListener("close", () => { ask.remove(); go(); });
    document.body.append(ask);
    ask.showModal();
  });
  await reread();
}

/** Sends what is kept; a sign that does not hold any more is fetched anew once. */
async function deliver() {
  for (let attempt = 0; ; attempt++) {
    try {
      await send(keep, patient);
      break;
    } catch (failure) {
      await reread();
      if (!(failure instanceof Refused)) throw failure;
      if (failure.status === 401) { await ended(); return; }
      if (failure.status !== 403 || attempt) throw failure;
      const me = await get("/me");
      if (me.patient !== patient) throw failure;
      sign(me.csrf);
    }
  }
  await keep.remove(entries.filter((one) => one.state === "sent" && one.day < ago(KEPT)).map((one) => one.order));
  await reread();
  strips();
}

async function fetched() {
  const [days, choices, map] = await Promise.all([get(`/patients/${patient}/diary?first=${ago(KEPT)}`), get(`/patients/${patient}/diary/choices`), drawing ? null : get("/bodymap")]);
  server = days.items;
  slots = choices.slots;
  await keep.setAbout("days", server);
  await keep.setAbout("slots", slots);
  if (map) { drawing = { views: map.views }; await keep.setAbout("drawing", drawing); }
  form.ready({ drawing, slots, before: before() });
  if (known(day) && form.node.isConnected && !done && !mending) { // filled in before, perhaps on another phone
    if (Object.keys(form.answers).length) fill(hint, t("replaced"));
    else { await show(day, false); return; }
  }
  strips();
}

// ---- what is known of the days

async function reread() {
  const all = await keep.entries();
  entries = all.filter((one) => one.patient === patient);
  // of a day that was refused and then filled in again, the refused one needs nobody any more
  const stale = entries.filter((one) => one.state === "refused" && entries.some((other) => other.day === one.day && other.order > one.order && other.state !== "refused"));
  await keep.remove(stale.map((one) => one.order));
  entries = entries.filter((one) => !stale.includes(one));
  foreign = new Set(all.filter((one) => one.patient !== patient && one.state !== "sent").map((one) => `${one.patient} ${one.day}`)).size;
}

const last = (one) => entries.findLast((entry) => entry.day === one && entry.state !== "refused");
function known(one) {
  const here = last(one);
  if (here) return here.answers;
  const there = server.find((each) => each.day === one);
  return there ? Object.fromEntries(Object.entries(there).filter(([name, value]) => !["day", "version"].includes(name) && value !== null && value !== "")) : null;
}
const markOf = (one) => (entries.some((entry) => entry.day === one && entry.state === "refused") ? "refused" : last(one)?.state === "kept" ? "kept" : known(one) ? "sent" : "empty");
function before() {
  const one = Array.from({ length: SHOWN }, (_, k) => { const [y, m, d] = day.split("-").map(Number); return iso(new Date(y, m - 1, d - 1 - k, 12)); }).find((each) => known(each)?.tingling?.length);
  return one ? { tingling: known(one).tingling, words: named(one) } : null;
}

// ---- the page

function notice(kind, ...words) {
  const node = el("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, words, el("button", { type: "button", class: "close", "aria-label": t("cancel"), onclick: () => node.remove() }, "×"));
  notices.append(node);
}

function page(title, words, ...more) {
  fill(place, el("section", { class: "card" }, el("h2", {}, title), el("p", {}, words), el("div", { class: "answers" }, more)));
  fill(below);
}

/** Fills a node that is read aloud, if what it says is new. */
function anew(node, words) {
  const next = fill(node.cloneNode(false), words);
  if (next.textContent !== node.textContent) fill(node, words);
}

function status() {
  const waiting = new Set(entries.filter((one) => one.state === "kept").map((one) => one.day)).size;
  const away = net.offline || state === "offline", refused = new Set(entries.filter((one) => one.state === "refused").map((one) => one.day)).size;
  anew(chip, [away && el("span", { class: "tag warn" }, t("offline")), waiting ? el("span", { class: "tag warn" }, t("toSend", { n: howMany(waiting) })) : refused ? el("span", { class: "tag bad" }, t("notAccepted", { n: howMany(refused) }))
    : !away && state === "in" && el("span", { class: "tag good" }, entries.length || server.length ? t("allSent") : t("nothingYet"))]);
  if (!done) return;
  anew(done.words, [wordsOf(done.key)]);
  done.card.hidden = refusedNow(done.key); // what was refused stands below, with the reason
}

/** What the strip, the list of refused days and the chart show; the form is left as it is. */
function strips() {
  const days = Array.from({ length: SHOWN }, (_, k) => ago(SHOWN - 1 - k)), focused = week.contains(document.activeElement) ? document.activeElement.dataset?.day : null;
  const signs = { sent: "✓", kept: "…", refused: "!", empty: "" };
  other.max = ago(0);
  if (other !== document.activeElement) other.value = day;
  fill(week, el("section", { class: "days", "aria-label": t("days") }, days.map((one) => {
    const mark = markOf(one);
    return el("button", { type: "button", "data-day": one, class: mark, "aria-pressed": String(one === day && !done), "aria-label": `${named(one)}: ${t(`${mark}Mark`)}`, onclick: () => show(one) },
      el("span", { class: "weekday" }, spelt(one, { weekday: "short" })), el("span", { class: "number" }, Number(one.slice(8))), el("span", { class: "sign" }, signs[mark]));
  })));
  if (focused) week.querySelector(`[data-day="${focused}"]`)?.focus();
  const refused = entries.filter((one) => one.state === "refused"), open = [...below.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
  fill(below, refused.map((one) => el("section", { class: "card notice bad", role: "alert" }, el("h2", {}, t("refused", { day: spelt(one.day) })), el("p", {}, one.problem), one.hint && el("p", {}, one.hint),
    el("div", { class: "answers" }, el("button", { type: "button", onclick: () => mend(one) }, t("mend")), el("button", { type: "button", class: "danger", onclick: async () => { if (!confirm(t("dropSure"))) return; await keep.remove([one.order]); await reread(); strips(); } }, t("drop"))))),
  chart(Array.from({ length: CHARTED }, (_, k) => ago(CHARTED - 1 - k)), new Map(Array.from({ length: CHARTED }, (_, k) => [ago(k), known(ago(k))]).filter(([, answers]) => answers)), (one) => spelt(one, { weekday: "short", day: "numeric", month: "short" })),
  about());
  for (const one of below.querySelectorAll("details > summary")) one.parentElement.open = open.includes(one.textContent); // a page that talks to the server closes nothing
  if (state === "out") below.prepend(el("div", { class: "notice warn", role: "status" }, t("out")));
  if (foreign) below.append(el("p", { class: "help" }, t("foreignLine", { n: howMany(foreign) })));
  status();
}

function about() {
  return el("details", { class: "card" }, el("summary", {}, t("about")), el("p", {}, t("aboutWords")), el("h3", {}, t("home")), el("p", {}, t("homeHow")),
    el("h3", {}, t("forget")), el("p", {}, t("forgetWhy")), el("button", { type: "button", class: "danger", onclick: forget }, t("forget")));
}

function forget() {
  const waiting = new Set(entries.filter((one) => one.state !== "sent").map((one) => one.day)).size;
  const ask = el("dialog", { "aria-labelledby": "forget" }, el("h2", { id: "forget" }, t("forget")), waiting ? el("p", {}, el("strong", {}, t("forgetLost", { n: howMany(waiting) }))) : null, el("p", {}, t("forgetWhy")),
    el("div", { class: "answers" }, el("button", { type: "button", class: "main", onclick: () => ask.close() }, t("cancel")),
      el("button", { type: "button", class: "danger", onclick: async () => {
        try { await post("/logout"); } catch (failure) { if (!(failure instanceof Offline || failure instanceof Refused)) throw failure; }
        await keep.clear();
        ask.close();
        patient = null; entries = []; server = []; state = "nobody"; foreign = 0; done = null;
        page(t("forgotten"), t("linkAsk"));
        status();
      } }, t("forgetGo"))));
  ask.addEventListener("close", () => ask.remove());
  document.body.append(ask);
  ask.showModal();
}

/** The form of a day, filled in with what is known of it, or with what was begun. */
async function show(one, focus = true) {
  day = one;
  done = null;
  mending = null;
  const begun = await keep.draft(`${patient} ${day}`), there = known(day);
  form.ready({ drawing, slots, before: before() });
  form.set(begun ?? there ?? {});
  screen(there);
  if (focus && state !== "starting") place.querySelector("h2")?.focus();
}

function screen(there) {
  drawn = ago(0);
  const problem = el("div", { class: "problem", role: "alert" });
  fill(hint, there ? t("replaced") : t("optional"));
  const save = el("button", { type: "submit", class: "main" }, t("save", { day: named(day) }));
  fill(place, strip, el("form", { class: "day", onsubmit: async (event) => {
    event.preventDefault();
    if (!form.enough) { fill(problem, t("empty")); return; }
    save.disabled = true;
    try { await saved(); } catch (failure) { fill(problem, String(failure.message ?? failure)); console.error(failure); } finally { save.disabled = false; }
  } }, el("h2", { tabindex: -1 }, spelt(day)), hint, form.node, el("div", { class: "send" }, problem, save)));
  strips();
}

let writing = Promise.resolve();
/** What was begun stays, too, whatever happens to the page. */
function answered() {
  const whose = `${patient} ${day}`, answers = form.answers;
  fill(place.querySelector(".send .problem") ?? el("p"), "");
  writing = writing.then(() => keep.setDraft(whose, answers)).catch((failure) => console.warn(failure));
}

async function mend(one) {
  await show(one.day <= ago(0) ? one.day : ago(0), false);
  form.set(one.answers);
  mending = one;
  place.querySelector("h2")?.focus();
}

const refusedNow = (key) => (entries.find((one) => one.key === key)?.state ?? "refused") === "refused";
const wordsOf = (key) => (entries.find((one) => one.key === key)?.state === "sent" ? t("sentWords") : state === "out" ? t("keptOut") : t("keptWords"));

async function saved() {
  const entry = { key: newKey(), patient, day, answers: form.answers, state: "kept", made: new Date().toISOString() };
  await keep.add(entry);
  if (mending) await keep.remove([mending.order]);
  mending = null;
  await writing;
  await keep.setDraft(`${patient} ${day}`, undefined);
  await reread();
  const missing = Array.from({ length: 3 }, (_, k) => ago(k + 1)).find((one) => !known(one) && (server.length || entries.length > 1));
  done = { key: entry.key, words: el("p", { class: "help", role: "status" }) };
  done.card = el("section", { class: "card saved" }, el("h2", { tabindex: -1 }, el("span", { "aria-hidden": "true", class: "tick" }, "✓"), t("saved", { day: spelt(day) })), done.words,
    el("div", { class: "answers" }, el("button", { type: "button", onclick: () => show(day) }, t("change")),
      missing && el("button", { type: "button", onclick: () => show(missing) }, t("missing", { day: spelt(missing, { weekday: "long" }) }))));
  fill(place, strip, done.card);
  strips();
  place.querySelector("h2").focus();
  scrollTo({ top: 0 });
  connect();
}

begin().catch((failure) => { fill(root, el("main", {}, el("div", { class: "notice bad", role: "alert" }, String(failure.message ?? failure)))); console.error(failure); });
