// The workbench: who is in, which rooms they find, and what every room shares.

import { Offline, Refused, get, net, post, put, sign } from "./lib/api.js";
import { append, el, fill } from "./lib/dom.js";
import { button, complain, text } from "./lib/fields.js";
import { Draft, Outbox, forget, keeper, kept } from "./lib/keep.js";

const NAMES = { plan: "Plan", program: "Program", gate: "Gate and outlook", pathway: "Pathway", clinic: "Clinic", cohorts: "Cohorts", research: "Research", people: "People" };
const root = document.getElementById("app");
const bar = el("div", { class: "bars", "aria-live": "polite" });

function theme(value) {
  if (value === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", value);
  try { localStorage.setItem("epidura.theme", value); } catch { /* private windows keep nothing */ }
  document.dispatchEvent(new Event("epidura-theme"));
}
theme((() => { try { return localStorage.getItem("epidura.theme") ?? "auto"; } catch { return "auto"; } })());

/** Says something at the top of the page until it is dismissed, or for a few seconds. `kind`: good, bad or empty. */
function say(what, kind = "", seconds = kind === "bad" ? 0 : 6) {
  const node = el("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, what, el("button", { type: "button", class: "close", "aria-label": "dismiss", onclick: () => node.remove() }, "×"));
  bar.append(node);
  if (seconds) setTimeout(() => node.remove(), seconds * 1000);
  return node;
}
document.addEventListener("epidura-notice", (event) => say(event.detail, "bad"));

let away = null;
net.addEventListener("offline", () => { away ??= el("div", { class: "notice warn", role: "alert" }, "Offline: the server cannot be reached. What you enter is kept here and sent when it is back."); bar.prepend(away); });
net.addEventListener("online", () => { if (away) { away.remove(); away = null; say("The server is back.", "good"); } });

async function start() {
  let me;
  try { me = await get("/me"); } catch (failure) {
    if (failure instanceof Refused && failure.status === 401) { login(); return; }
    if (failure instanceof Offline) { net.addEventListener("online", start, { once: true }); fill(root, bar, el("main", { class: "card", id: "main" }, el("h1", {}, "Epidura"), el("p", {}, "Waiting for the server."))); return; }
    throw failure;
  }
  if (me.person.role === "patient") { location.replace("/diary"); return; }
  await enter(me);
}

function login() {
  const words = sessionStorage.getItem("epidura.words") ?? "";
  sessionStorage.removeItem("epidura.words");
  document.title = "Log in – Epidura";
  const where = el("div", {}, words && el("div", { class: "notice", role: "status" }, words));
  const name = text("Login", { autocomplete: "username", required: true }), secret = text("Password", { type: "password", autocomplete: "current-password", required: true });
  const form = el("form", { onsubmit: async (event) => {
    event.preventDefault();
    const go = form.querySelector("button");
    go.disabled = true;
    try {
      sign("");
      const told = await post("/login", { login: name.value, password: secret.value });
      sign(told.csrf);
      await start();
    } catch (failure) { complain(where, failure); secret.input.select(); } finally { go.disabled = false; }
  } }, where, name, secret, el("button", { class: "main", type: "submit" }, "Log in"));
  fill(root, bar, el("main", { class: "card", id: "main" }, el("h1", {}, el("img", { src: "/web/icon.svg", alt: "", width: 36, height: 36 }), " Epidura"),
    el("p", {}, "Spinal cord stimulation: plan it, program it, try it, follow it."), form,
    el("p", { class: "help" }, "Research and education software, not a medical device. It certifies no safety. The first start of the server prints the link that makes the first administrator.")));
  name.input.focus();
}

let leave = null;

async function enter(me) {
  sign(me.csrf);
  keeper(me.person.id);
  const bench = { me, outbox: new Outbox(), say, complain, draft: null, go: (hash) => { location.hash = hash; } };
  if (me.rooms.includes("plan")) bench.draft = new Draft(kept("draft") ? null : (await get("/case/start")).case);
  const links = me.rooms.filter((room) => NAMES[room]).map((room) => el("a", { href: `#/${room}`, "data-room": room }, NAMES[room]));
  const look = el("select", { "aria-label": "colours of the page", onchange: () => theme(look.value) }, ["auto", "light", "dark"].map((one) => el("option", { value: one }, one)));
  look.value = document.documentElement.getAttribute("data-theme") ?? "auto";
  const waiting = el("span", { class: "waiting", role: "status" });
  const count = () => fill(waiting, bench.outbox.waiting.length ? `${bench.outbox.waiting.length} to send` : "");
  bench.outbox.addEventListener("change", count);
  bench.outbox.addEventListener("refused", ({ detail: { entry, failure } }) => { const box = complain(null, failure); append(box, [el("div", {}, `Not written: ${entry.words ?? entry.path}. It is kept under what was refused.`)]); });
  count();
  const main = el("main", { id: "main", tabindex: -1 });
  const menu = el("nav", { "aria-label": "rooms" }, links);
  fill(root, el("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "to the content"),
    el("header", {}, el("a", { class: "brand", href: "#/" }, el("img", { src: "/web/icon.svg", alt: "", width: 26, height: 26 }), "Epidura"), menu,
      el("div", { class: "who" }, waiting, look, el("span", { class: "person" }, `${me.person.name}, ${me.person.role}`), button("Password", changePassword, { kind: "quiet", title: "change your password" }), button("Log out", async () => {
        if (bench.outbox.waiting.length && !confirm("Some entries were not sent yet and would be lost on this machine. Log out?")) return;
        await post("/logout");
        forget();
        location.hash = "";
        location.reload();
      }, { kind: "quiet" }))), bar, main);

  let turn = 0; // a room that is left while it still loads draws into a place that nobody sees
  const route = async () => {
    const mine = ++turn;
    const [room, ...parts] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    const name = me.rooms.includes(room) ? room : room ? null : me.rooms[0];
    try { leave?.(); } catch (failure) { console.error(failure); }
    leave = null;
    for (const link of links) { if (link.dataset.room === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current"); }
    if (!name) { fill(main, el("h1", {}, "No such room"), el("p", {}, "There is nothing here for your role.")); return; }
    document.title = `${NAMES[name]} – Epidura`;
    fill(main, el("p", { class: "help" }, "…"));
    try {
      const module = await import(`./rooms/${name}.js`);
      if (mine !== turn) return;
      const place = el("div", { class: `room-${name}` });
      fill(main, place);
      const done = (await module.default(place, { ...bench, parts })) ?? null;
      if (mine === turn) leave = done; else done?.();
    } catch (failure) {
      if (mine !== turn) return;
      if (failure instanceof Offline) net.addEventListener("online", route, { once: true });
      fill(main);
      complain(main, failure);
      if (!(failure instanceof Offline || failure instanceof Refused)) console.error(failure);
    }
  };
  addEventListener("hashchange", route);
  net.addEventListener("out", () => { if (!document.querySelector("dialog.login")) again(me); });
  await route();
  bench.outbox.send();
}

/** A person changes the own password, which ends all of the person's sessions. */
function changePassword() {
  const where = el("div", {}), old = text("Password as it is", { type: "password", autocomplete: "current-password", required: true });
  const fresh = text("New password", { type: "password", autocomplete: "new-password", required: true, maxlength: 200, help: "15 characters or more; four or more words that do not belong together" });
  const again = text("New password once more", { type: "password", autocomplete: "new-password", required: true, maxlength: 200 });
  const box = el("dialog", { "aria-labelledby": "change-password" }, el("h2", { id: "change-password" }, "Change your password"), el("p", {}, "You log in again afterwards, here and wherever else you are in."),
    el("form", { onsubmit: async (event) => {
      event.preventDefault();
      again.wrong(fresh.value === again.value ? "" : "this is not the same as above");
      if (fresh.value !== again.value) return;
      try {
        await put("/me/password", { old: old.value, new: fresh.value });
        sessionStorage.setItem("epidura.words", "Your password was changed. Log in with the new one.");
        location.reload();
      } catch (failure) { complain(where, failure); }
    } }, old, fresh, again, where, el("div", { class: "row" }, el("button", { class: "main", type: "submit" }, "Change it"), button("Cancel", () => box.close()))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

/** The session ended: log in over the page, so that nothing that was entered goes. */
function again(me) {
  const where = el("div", {}), secret = text("Password", { type: "password", autocomplete: "current-password" }), name = text("Login", { autocomplete: "username" });
  const box = el("dialog", { class: "login", "aria-labelledby": "again" }, el("h2", { id: "again" }, "Your session ended"), el("p", {}, `Log in again as ${me.person.name}; what you entered is still here.`),
    el("form", { onsubmit: async (event) => {
      event.preventDefault();
      try {
        sign("");
        const told = await post("/login", { login: name.value, password: secret.value });
        sign(told.csrf);
        box.close();
        box.remove();
        if (told.person.id !== me.person.id) location.reload();
      } catch (failure) { complain(where, failure); }
    } }, where, name, secret, el("button", { class: "main", type: "submit" }, "Log in")));
  document.body.append(box);
  box.showModal();
}

start().catch((failure) => { fill(root, bar); complain(root, failure); console.error(failure); });
