// People: who may come in, who looked at what, whether the record is whole, and erasing who a patient is.

import { get, post, put } from "../lib/api.js";
import { el, fill, fresh, num } from "../lib/dom.js";
import { button, check, complain, select, text } from "../lib/fields.js";
import { keep, kept } from "../lib/keep.js";

const PARTS = { "": "Who may come in", access: "Who looked at what", record: "Is the record whole", erase: "Erase a patient" };
const RULES_OF_PASSWORDS = "15 to 200 characters, at least 5 different ones, without the login in it; four or more words that do not belong together are good";
const ROLES = { physician: "physician: plans, programs, decides", nurse: "nurse: records and follows", researcher: "researcher: sees pseudonyms only", administrator: "administrator: people and the record's safety" };

export default async function (main, bench) {
  if (!document.querySelector('link[href="/web/rooms/people.css"]')) document.head.append(el("link", { rel: "stylesheet", href: "/web/rooms/people.css" }));
  const part = bench.parts[0] ?? "", place = el("div", { class: "stack" });
  fill(main, el("div", { class: "spread" }, el("h1", {}, "People"),
    el("nav", { class: "parts", "aria-label": "parts of the room" }, Object.entries(PARTS).map(([key, name]) => el("a", { href: `#/people${key && `/${key}`}`, "aria-current": key === part ? "page" : null }, name)))), place);
  if (!(part in PARTS)) { fill(place, el("p", {}, "There is no such part of the room.")); return; }
  await { "": roll, access, record, erase }[part](place, bench);
}

async function everybody() {
  const all = [];
  for (let after = ""; after !== null;) {
    const found = await get(`/people?limit=200&after=${after}`);
    all.push(...found.items);
    after = found.next;
  }
  return all.sort((a, b) => Number(b.active) - Number(a.active) || a.name.localeCompare(b.name));
}

const when = (stamp) => new Date(stamp).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

// ---- who may come in

async function roll(place, bench) {
  const list = el("div", {}), search = text("Find a person", { oninput: () => draw() });
  let all = [];
  const load = async () => { all = (await everybody()).filter((one) => one.role !== "patient"); draw(); };
  fill(place, el("div", { class: "grid aside" }, el("section", { class: "card" }, el("h2", {}, "Who may come in"), search, list), adding(load, bench)));
  const draw = () => {
    const wanted = search.value.trim().toLowerCase(), shown = all.filter((one) => `${one.name} ${one.login} ${one.role}`.toLowerCase().includes(wanted));
    fill(list, el("p", { role: "status", class: "help" }, `${all.filter((one) => one.active).length} may come in, ${all.filter((one) => !one.active).length} left. Patients come in through links that physicians and nurses make.`),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "people" }, el("table", {}, el("thead", {}, el("tr", {}, ["Name", "Login", "Role", "State", ""].map((one) => el("th", { scope: "col" }, one)))), el("tbody", {}, shown.map((one) => el("tr", {},
        el("td", {}, el("strong", {}, one.name), one.id === bench.me.person.id ? " (you)" : "", one.subject && el("div", { class: "help" }, `by OpenID Connect: ${one.subject}`)), el("td", {}, one.login), el("td", {}, one.role), el("td", {}, el("span", { class: `tag ${one.active ? "good" : ""}` }, one.active ? "may come in" : "left")),
        el("td", {}, one.active ? el("div", { class: "row tight" }, button("New password", () => fresher(one, bench), { "aria-label": `New password for ${one.name}` }), button("Deactivate", () => leaving(one, load, bench), { kind: "danger", "aria-label": `Deactivate ${one.name}` })) : "")))))));
  };
  await load();
}

function adding(load, bench) {
  const start = kept("newcomer", {}), where = el("div", {});
  const save = () => keep("newcomer", { name: name.value, login: login.value, role: role.value }); // never the password
  const name = text("Name", { value: start.name ?? "", oninput: save, required: true, maxlength: 200, autocomplete: "off" }), login = text("Login", { value: start.login ?? "", oninput: save, required: true, maxlength: 100, autocomplete: "off", help: "as typed at the door; no spaces" });
  const role = select("Role", Object.entries(ROLES).map(([value, label]) => ({ value, label })), { value: start.role ?? "nurse", onchange: save });
  const secret = text("First password", { type: "password", autocomplete: "new-password", maxlength: 200, help: RULES_OF_PASSWORDS });
  const issuer = text("Issuer", { maxlength: 150, help: "address of the OpenID Connect server" }), subject = text("Subject", { maxlength: 140, help: "who the person is there" });
  const fields = { name, login, role, password: secret, issuer, subject };
  const form = el("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    for (const one of Object.values(fields)) one.wrong("");
    fill(where);
    go.disabled = true;
    try {
      const body = { name: name.value, login: login.value, role: role.value, ...(secret.value ? { password: secret.value } : {}), ...(issuer.value.trim() || subject.value.trim() ? { issuer: issuer.value.trim() || null, subject: subject.value.trim() || null } : {}) };
      const added = await post("/people", body);
      keep("newcomer", null);
      for (const one of [name, login, secret, issuer, subject]) one.value = "";
      bench.say(`${added.name} may come in as ${added.role}. Tell the first password in person; it can be changed at the top of the page.`, "good");
      await load();
    } catch (failure) { at(fields, failure, where); } finally { go.disabled = false; }
  } }, el("h2", {}, "Add a person"), name, login, role, secret, el("details", {}, el("summary", {}, "Comes in by OpenID Connect"), issuer, subject), where, el("button", { type: "submit", class: "main" }, "Add"));
  const go = form.querySelector("button.main");
  return form;
}

/** What was refused, at its field if there is one. */
function at(fields, failure, where) {
  const one = fields[failure.error?.where?.split(".").at(-1)];
  if (!one) { complain(where, failure); return; }
  one.wrong([failure.error.problem, failure.error.allowed && `allowed: ${failure.error.allowed}`, failure.error.hint].filter(Boolean).join("; "));
  one.input.focus();
}

function dialog(title, content, submit, label, kind = "main") {
  const id = fresh("d"), where = el("div", {}), go = el("button", { type: "submit", class: kind }, label);
  const box = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), el("form", { onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    fill(where);
    try { await submit(where); box.close(); } catch (failure) { if (failure !== dialog) complain(where, failure); } finally { go.disabled = false; }
  } }, content, where, el("div", { class: "row" }, go, button("Cancel", () => box.close()))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

function fresher(one, bench) {
  const secret = text("New password", { type: "password", autocomplete: "new-password", required: true, maxlength: 200, help: RULES_OF_PASSWORDS });
  dialog(`New password for ${one.name}`, [el("p", {}, "All sessions of this person end at once."), secret], async (where) => {
    secret.wrong("");
    try { await put(`/people/${one.id}/password`, { password: secret.value }); } catch (failure) { at({ password: secret }, failure, where); throw dialog; }
    if (one.id === bench.me.person.id) location.reload();
    else bench.say(`${one.name} has a new password.`, "good");
  }, "Set it");
}

function leaving(one, load, bench) {
  dialog(`Deactivate ${one.name}?`, el("p", {}, "No login any more, and all sessions end at once. What was written stays under the name. This cannot be taken back here: who returns is added anew."), async () => {
    await post(`/people/${one.id}/deactivate`);
    if (one.id === bench.me.person.id) { location.reload(); return; }
    bench.say(`${one.name} cannot come in any more.`, "good");
    await load();
  }, "Deactivate", "danger");
}

// ---- who looked at what

async function access(place) {
  const people = await everybody(), names = new Map(people.map((one) => [one.id, `${one.name}, ${one.role}`]));
  const rows = el("tbody", {}), foot = el("div", { class: "row" }), count = el("p", { role: "status", class: "help" }), problems = el("div", {});
  const person = select("Person", [{ value: "", label: "everybody" }, ...people.map((one) => ({ value: one.id, label: one.role === "patient" ? `a patient's diary (${one.id.slice(0, 8)})` : `${one.name}, ${one.role}` }))], { onchange: () => load() });
  const patient = text("Patient", { onchange: () => load(), maxlength: 32, help: "the record's id of 32 digits and letters a to f" });
  const refused = check("only what was refused", { onchange: () => load() });
  fill(place, el("section", { class: "card" }, el("h2", {}, "Who looked at what"), el("p", {}, "Every request is written down before it is answered, those that were refused, too. The latest comes first."),
    el("div", { class: "filters" }, person, patient, refused), problems, count, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "access log" }, el("table", {}, el("thead", {}, el("tr", {}, ["When", "Who", "From", "What", "Patient", "Answer"].map((one) => el("th", { scope: "col" }, one)))), rows)), foot));
  async function load(before = null) {
    const whose = patient.value.trim().toLowerCase();
    patient.wrong(whose && !/^[0-9a-f]{32}$/.test(whose) ? "this is no id of a patient: 32 digits and letters a to f" : "");
    if (patient.input.getAttribute("aria-invalid")) return;
    const query = new URLSearchParams({ limit: 50, ...(person.value && { person: person.value }), ...(whose && { patient: whose }), ...(refused.value && { refused: true }), ...(before && { before }) });
    let found;
    try { found = await get(`/access/latest?${query}`); fill(problems); } catch (failure) { complain(problems, failure); return; }
    if (!before) fill(rows);
    rows.append(...found.items.map((one) => el("tr", {}, el("td", {}, when(one.at)), el("td", {}, names.get(one.person) ?? (one.person ? one.person.slice(0, 8) : "nobody")), el("td", {}, one.address), el("td", {}, `${one.method} ${one.route.replace("/api/v1", "")}`),
      el("td", {}, one.patient ? el("code", {}, one.patient) : "–"), el("td", {}, el("span", { class: `tag ${one.status >= 400 ? "warn" : ""}` }, one.status >= 400 ? `refused, ${one.status}` : `answered, ${one.status}`)))));
    fill(count, rows.children.length ? `${rows.children.length} shown${found.next ? "; there are more" : ""}.` : "Nothing is written down for this choice.");
    fill(foot, found.next && button("Show earlier ones", () => load(found.next)));
  }
  await load();
}

// ---- is the record whole

async function record(place) {
  const result = el("div", { "aria-live": "polite" });
  fill(place, el("section", { class: "card" }, el("h2", {}, "Is the record whole"), el("p", {}, "Every event carries the hash of the one before it. Following the chain finds an event that was changed, taken out or put in."),
    el("p", {}, "The chain cannot tell that its end was cut off. So write the count and the last hash down somewhere else, on paper or in another system, and compare them the next time: the count may only grow, and with the same count the hash is the same."),
    button("Follow the chain", async () => {
      fill(result, el("p", {}, "Following …"));
      try {
        const found = await get("/verify"), last = kept("chain");
        fill(result, el("div", { class: `notice ${found.whole ? "good" : "bad"}`, role: found.whole ? "status" : "alert" }, found.whole ? "The record is whole: every event follows the one before it." : "The record was changed outside of this software."),
          found.breaks.length ? el("ul", {}, found.breaks.map((one) => el("li", {}, `event ${one.event}: ${one.problem}`))) : null,
          el("dl", { class: "facts" }, el("dt", {}, "Events"), el("dd", {}, num(found.events, "", 1, 9)), el("dt", {}, "Last hash"), el("dd", {}, el("code", { class: "hash" }, found.head)), el("dt", {}, "Followed"), el("dd", {}, when(new Date().toISOString()))),
          last && el("p", { class: "help" }, `Last time in this browser: ${num(last.events, "", 1, 9)} events, hash ${last.head.slice(0, 16)}…, on ${when(last.at)}.`, last.events > found.events ? el("strong", {}, " There are fewer events now: something is missing.") : last.events === found.events && last.head !== found.head ? el("strong", {}, " As many events, but another hash: something was changed.") : ""),
          navigator.clipboard ? button("Copy for the notebook", async (event) => { await navigator.clipboard.writeText(`${new Date().toISOString()} events ${found.events} head ${found.head}`); event.target.textContent = "Copied"; }) : null);
        keep("chain", { events: found.events, head: found.head, at: new Date().toISOString() });
      } catch (failure) { complain(result, failure); }
    }, { kind: "main" }), result));
}

// ---- erase

async function erase(place, bench) {
  const where = el("div", {});
  const fields = {
    patient: text("Patient", { required: true, maxlength: 32, help: "the record's id of 32 digits and letters a to f, from the request of the treating team" }),
    pseudonym: text("Pseudonym, typed out", { required: true, maxlength: 16, autocomplete: "off", help: "so that nobody else is erased by a slip" }),
    authority: text("Authority", { required: true, maxlength: 200, help: "on what the request rests, such as the article of the law; stays readable: no names" }),
    why: text("Reason", { required: true, maxlength: 500, help: "stays readable: no names" }),
    password: text("Your password", { type: "password", required: true, autocomplete: "current-password" }),
  };
  const sure = check("I understand that this cannot be undone, not even from the record itself", { onchange: () => { go.disabled = !sure.value; } });
  const form = el("form", { class: "card narrow", onsubmit: async (event) => {
    event.preventDefault();
    for (const one of Object.values(fields)) one.wrong("");
    fill(where);
    const id = fields.patient.value.trim().toLowerCase();
    if (!/^[0-9a-f]{32}$/.test(id)) { fields.patient.wrong("this is no id of a patient: 32 digits and letters a to f"); fields.patient.input.focus(); return; }
    go.disabled = true;
    try {
      const { authority, why, pseudonym, password } = Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.value]));
      const done = await post(`/patients/${id}/erase`, { authority, why, pseudonym: pseudonym.trim(), password });
      form.reset();
      fill(where, el("div", { class: "notice good", role: "status" }, `Who ${done.pseudonym} is was erased. The clinical course stays, without name, address and free words.`));
      bench.say(`${done.pseudonym} was erased.`, "good");
    } catch (failure) { at(fields, failure, where); } finally { go.disabled = !sure.value; }
  } }, el("h2", {}, "Erase who a patient is"), el("div", { class: "notice warn" }, "On lawful request only. The key of this patient is destroyed: name, birth date, address and all free words can never be read again. A backup from before still has the key: restoring it erases again from the list of erasures beside the record, so keep that list with the backups."), Object.values(fields), sure, where, el("button", { type: "submit", class: "danger", disabled: true }, "Erase"));
  const go = form.querySelector("button.danger");
  fill(place, form);
}
