// What was entered stays, whatever happens to the page or the server: drafts, and changes that wait to be sent.

import { ask, net, newKey, Offline, Refused } from "./api.js";

const space = "epidura.";
let whose = "";

/** All that is kept belongs to one person of this browser. */
export function keeper(person) { whose = `${person}.`; }

export function kept(name, fallback = null) {
  try {
    const text = localStorage.getItem(space + whose + name);
    return text === null ? fallback : JSON.parse(text);
  } catch { return fallback; }
}

export function keep(name, value) {
  try {
    if (value === null || value === undefined) localStorage.removeItem(space + whose + name);
    else localStorage.setItem(space + whose + name, JSON.stringify(value));
    return true;
  } catch { return false; }
}

/** Forgets everything of this person: after logging out on a shared machine. */
export function forget() {
  for (const name of Object.keys(localStorage)) if (name.startsWith(space + whose)) localStorage.removeItem(name);
}

/**
 * The case being worked on. `case` is what the file of a case says, as JSON. Every change goes through `change`, can be undone, and is kept.
 * Tells `change` with `detail.why`.
 */
export class Draft extends EventTarget {
  #past = []; #future = [];
  constructor(start) {
    super();
    const found = kept("draft");
    this.case = found?.case ?? start;
    this.patient = found?.patient ?? null;
    this.saved = found?.saved ?? {};
  }
  /** Changes a copy of the case with `fn(copy)`; `why` names the change for undo. */
  change(fn, why = "change") {
    const copy = structuredClone(this.case);
    fn(copy);
    if (JSON.stringify(copy) === JSON.stringify(this.case)) return;
    this.#past.push({ case: this.case, why });
    if (this.#past.length > 100) this.#past.shift();
    this.#future = [];
    this.#set(copy, why);
  }
  /** Another case, such as a file that was opened; `patient`: whose real program it is. */
  open(other, patient = null) {
    this.#past.push({ case: this.case, why: "open" });
    this.#future = [];
    this.patient = patient;
    this.#set(other, "open");
  }
  undo() {
    const last = this.#past.pop();
    if (!last) return;
    this.#future.push({ case: this.case, why: last.why });
    this.#set(last.case, `undo ${last.why}`);
  }
  redo() {
    const next = this.#future.pop();
    if (!next) return;
    this.#past.push({ case: this.case, why: next.why });
    this.#set(next.case, `redo ${next.why}`);
  }
  get undoable() { return this.#past.at(-1)?.why ?? ""; }
  get redoable() { return this.#future.at(-1)?.why ?? ""; }
  #set(value, why) {
    this.case = value;
    keep("draft", { case: value, patient: this.patient, saved: this.saved });
    this.dispatchEvent(new CustomEvent("change", { detail: { why } }));
  }
}

/**
 * Changes of records that could not be sent yet, in order. Each has a key of its own, so sending it twice writes it once.
 * Tells `change`; `refused` with `detail: {entry, failure}` when the server says no, which takes the entry out of the line.
 */
export class Outbox extends EventTarget {
  #busy = false;
  constructor() {
    super();
    this.waiting = kept("outbox", []);
    net.addEventListener("online", () => this.send());
  }
  /**
   * Sends a change, or keeps it until it can be sent. Gives the answer, or null while it waits; a refusal is thrown.
   * `entry`: {method, path, body, etag, words}.
   */
  async put(entry) {
    const full = { key: newKey(), ...entry };
    if (this.waiting.length) { this.#line([...this.waiting, full]); this.send(); return null; }
    try {
      return await ask(full.method, full.path, full);
    } catch (failure) {
      if (!(failure instanceof Offline)) throw failure;
      this.#line([...this.waiting, full]);
      return null;
    }
  }
  async send() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.waiting.length) {
        const [first] = this.waiting;
        try {
          const answer = await ask(first.method, first.path, first);
          const changed = answer?.version === answer?.revision ? answer?.revision : 0; // what follows was entered after this own change and has seen it; nobody wrote after it
          this.#line(this.waiting.slice(1).map((one) => (changed && one.etag && one.etag === first.etag && one.path === first.path ? { ...one, etag: `"${changed}"` } : one)));
          this.dispatchEvent(new CustomEvent("sent", { detail: { entry: first, answer } }));
        } catch (failure) {
          if (!(failure instanceof Refused) || failure.status === 401 || failure.status >= 500 || failure.status === 429) return;
          this.#line(this.waiting.slice(1));
          keep("refused", [...kept("refused", []), { ...first, error: failure.error }]);
          this.dispatchEvent(new CustomEvent("refused", { detail: { entry: first, failure } }));
        }
      }
    } finally { this.#busy = false; }
  }
  #line(waiting) {
    this.waiting = waiting;
    keep("outbox", waiting.length ? waiting : null);
    this.dispatchEvent(new Event("change"));
  }
}
