// Talking to the server: one shape of errors, one sign of being offline, one request in flight where the latest wins.

export const V1 = "/api/v1";

/** The server refused; `error` has where, problem, got, allowed, hint, missing. */
export class Refused extends Error {
  constructor(status, error) {
    super([error.where, error.problem].filter(Boolean).join(": "));
    this.status = status;
    this.error = error;
  }
}

/** The server cannot be reached. */
export class Offline extends Error {}

/** Tells `offline`, `online` and `out` (the session ended). */
export const net = new EventTarget();
net.offline = false;

let csrf = "";
export const sign = (value) => { csrf = value; };

function lost() {
  if (net.offline) return;
  net.offline = true;
  net.dispatchEvent(new Event("offline"));
  knock();
}

async function knock() {
  while (net.offline) {
    await new Promise((done) => setTimeout(done, 1500));
    try {
      const answer = await fetch("/web/icon.svg", { cache: "no-store" });
      if (answer.ok) found();
    } catch { /* still away */ }
  }
}

function found() {
  if (!net.offline) return;
  net.offline = false;
  net.dispatchEvent(new Event("online"));
}

/** One request. `options`: body (JSON, or a Blob or ArrayBuffer as a file), etag, key, signal, raw (give the Response). */
export async function ask(method, path, { body, etag, key, signal, raw } = {}) {
  const headers = {};
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (etag) headers["If-Match"] = etag;
  if (key) headers["Idempotency-Key"] = key;
  let sent;
  if (body instanceof Blob || body instanceof ArrayBuffer) { sent = body; headers["Content-Type"] = "application/octet-stream"; }
  else if (body !== undefined) { sent = JSON.stringify(body); headers["Content-Type"] = "application/json"; }
  let answer;
  try {
    answer = await fetch(path.startsWith("/") && !path.startsWith("/api") ? V1 + path : path, { method, headers, body: sent, signal, cache: "no-store" });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    lost();
    throw new Offline("the server cannot be reached");
  }
  found();
  if (!answer.ok) throw await refusal(answer);
  if (raw) return answer;
  return answer.status === 204 ? null : answer.json();
}

async function refusal(answer) {
  let error = { status: answer.status, where: "", problem: `the server answered ${answer.status}`, got: null, allowed: "", hint: "", missing: [] };
  try { error = (await answer.json()).error ?? error; } catch { /* no JSON: a proxy, perhaps */ }
  if (answer.status === 401 && error.where === "session") net.dispatchEvent(new Event("out"));
  return new Refused(answer.status, error);
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { ...options, body });
export const put = (path, body, options) => ask("PUT", path, { ...options, body });
export const del = (path, options) => ask("DELETE", path, options);

/** A patient's state with its ETag: `{value, etag}`. */
export async function tagged(path) {
  const answer = await ask("GET", path, { raw: true });
  return { value: await answer.json(), etag: answer.headers.get("ETag") };
}

/** Numbers as the server has them: `{header, numbers}`; the header is JSON in `X-Epidura`. */
export async function floats(method, path, options) {
  const answer = await ask(method, path, { ...options, raw: true });
  return { header: JSON.parse(answer.headers.get("X-Epidura") ?? "{}"), numbers: new Float32Array(await answer.arrayBuffer()) };
}

/** A new key for a change; the same one for its repetition. */
export const newKey = () => crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

/**
 * One request in flight, the latest wins. `latest.run(fn)` calls `fn(signal)`; a newer call aborts the older one, whose promise gives undefined.
 */
export class Latest {
  #abort = null;
  async run(fn) {
    this.#abort?.abort();
    const mine = this.#abort = new AbortController();
    try {
      const value = await fn(mine.signal);
      return mine.signal.aborted ? undefined : value;
    } catch (failure) {
      if (mine.signal.aborted) return undefined;
      throw failure;
    }
  }
  stop() { this.#abort?.abort(); }
}

/**
 * Long work: posts, follows its progress, gives its result. `progress(words, share)`; an aborted `signal` cancels it on the server.
 * If the server is restarted on the way, the work is asked for again: what it had computed is kept there.
 */
export async function work(path, body, { progress = () => {}, signal, raw } = {}) {
  for (let attempt = 0; ; attempt++) {
    try {
      const job = await post(path, body, { signal });
      await follow(job.id, progress, signal);
      return await ask("GET", `/jobs/${job.id}/result`, { signal, raw });
    } catch (failure) {
      const gone = failure instanceof Offline || (failure instanceof Refused && failure.status === 404);
      if (!gone || attempt >= 5) throw failure;
      await back(signal);
    }
  }
}

/** Until the server can be reached again. */
export function back(signal) {
  return new Promise((done, fail) => {
    if (!net.offline) { done(); return; }
    net.addEventListener("online", () => done(), { once: true });
    signal?.addEventListener("abort", () => fail(new DOMException("cancelled", "AbortError")), { once: true });
  });
}

function follow(id, progress, signal) {
  return new Promise((done, fail) => {
    const stream = new EventSource(`${V1}/jobs/${id}/events`);
    const over = (then, value) => { stream.close(); then(value); };
    stream.addEventListener("progress", (event) => { const now = JSON.parse(event.data); progress(now.words, now.share); });
    stream.addEventListener("end", (event) => {
      const now = JSON.parse(event.data);
      if (now.state === "done") over(done);
      else if (now.state === "failed") over(fail, new Refused(now.error.status, now.error));
      else over(fail, new DOMException("cancelled", "AbortError"));
    });
    stream.onerror = () => { // closed, or the server is away; a first look decides which
      stream.close();
      get(`/jobs/${id}`, {}).then((now) => {
        if (now.state === "done") done();
        else if (now.state === "failed") fail(new Refused(now.error.status, now.error));
        else if (now.state === "cancelled") fail(new DOMException("cancelled", "AbortError"));
        else follow(id, progress, signal).then(done, fail);
      }, fail);
    };
    signal?.addEventListener("abort", () => { del(`/jobs/${id}`).catch(() => {}); over(fail, new DOMException("cancelled", "AbortError")); }, { once: true });
  });
}
