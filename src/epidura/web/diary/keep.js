// What is on the phone: entries until they are sent and some weeks longer, half-filled days, and what the diary needs without a connection.
// An entry counts as kept only when the disk has it. Without a database (a private window) everything stays in memory and `keeps` is false.

const NAME = "epidura-diary";
const asked = (request) => new Promise((done, fail) => { request.onsuccess = () => done(request.result); request.onerror = () => fail(request.error); });

export class Keep {
  #db; #memory = { entries: new Map(), about: new Map(), drafts: new Map() }; #count = 0;
  constructor(db) { this.#db = db; this.keeps = db !== null; }

  static async open() {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("entries", { keyPath: "order", autoIncrement: true });
        request.result.createObjectStore("about");
        request.result.createObjectStore("drafts");
      };
      const db = await asked(request);
      db.onversionchange = () => db.close();
      navigator.storage?.persist?.().catch(() => {}); // asks not to be cleared when space runs short
      return new Keep(db);
    } catch { return new Keep(null); }
  }

  /** Runs `fn(store)` and gives its answer once it is on the disk. */
  #write(name, fn) {
    return new Promise((done, fail) => {
      const change = this.#db.transaction(name, "readwrite", { durability: "strict" });
      let answer;
      change.oncomplete = () => done(answer);
      change.onabort = change.onerror = () => fail(change.error ?? new Error("this phone could not keep it"));
      fn(change.objectStore(name), (value) => { answer = value; });
    });
  }
  #read(name, fn) { return asked(fn(this.#db.transaction(name).objectStore(name))); }

  async about(name) { return this.#db ? this.#read("about", (store) => store.get(name)) : this.#memory.about.get(name); }
  async setAbout(name, value) {
    if (!this.#db) this.#memory.about.set(name, value);
    else await this.#write("about", (store) => { if (value === undefined) store.delete(name); else store.put(value, name); });
  }

  /** All entries, in the order in which they were made, whatever the clock of the phone says. */
  async entries() {
    if (!this.#db) return [...this.#memory.entries.values()];
    return this.#read("entries", (store) => store.getAll());
  }
  async add(entry) {
    if (!this.#db) { const order = ++this.#count; this.#memory.entries.set(order, { ...entry, order }); return; }
    await this.#write("entries", (store) => store.add(entry));
  }
  /** Changes an entry that is still there. */
  async mark(order, changes) {
    if (!this.#db) { const old = this.#memory.entries.get(order); if (old) this.#memory.entries.set(order, { ...old, ...changes }); return; }
    await this.#write("entries", (store) => { store.get(order).onsuccess = ({ target }) => { if (target.result) store.put({ ...target.result, ...changes }); }; });
  }
  async remove(orders) {
    if (!this.#db) for (const order of orders) this.#memory.entries.delete(order);
    else if (orders.length) await this.#write("entries", (store) => { for (const order of orders) store.delete(order); });
  }

  async draft(name) { return this.#db ? this.#read("drafts", (store) => store.get(name)) : this.#memory.drafts.get(name); }
  async setDraft(name, value) {
    if (!this.#db) { if (value === undefined) this.#memory.drafts.delete(name); else this.#memory.drafts.set(name, value); return; }
    await this.#write("drafts", (store) => { if (value === undefined) store.delete(name); else store.put(value, name); });
  }

  /** Everything goes. */
  async clear() {
    for (const name of ["entries", "about", "drafts"]) if (this.#db) await this.#write(name, (store) => store.clear()); else this.#memory[name].clear();
  }
  /** What was sent, and what was fetched, goes from the phone. */
  async forget(patient) {
    await this.remove((await this.entries()).filter((one) => one.patient === patient && one.state === "sent").map((one) => one.order));
    for (const name of ["days", "slots"]) await this.setAbout(name, undefined);
  }
}
