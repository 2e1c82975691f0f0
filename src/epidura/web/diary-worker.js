// Keeps the files of the diary on the phone, so that it opens without a connection. Above this line the server writes FILES: address -> hash of each.
// Nothing that belongs to anybody passes through here: entries are kept by the page itself (diary/keep.js).

const NAME = `epidura-diary ${Object.values(FILES).map((mark) => mark.slice(1, 9)).join("")}`;

/** All files, or none: an update that breaks off leaves the version before. */
async function take() {
  const cache = await caches.open(NAME);
  await Promise.all(Object.entries(FILES).map(async ([address, mark]) => {
    const answer = await fetch(address, { cache: "no-store" });
    const got = answer.headers.get("etag")?.replace(/^W\//, ""); // a proxy that compresses makes it weak
    if (!answer.ok || (got && got !== mark)) throw new Error(`${address}: not what this version is made of`);
    await cache.put(address, answer);
  }));
  await self.skipWaiting();
}

async function clear() {
  for (const name of await caches.keys()) if (name.startsWith("epidura-diary ") && name !== NAME) await caches.delete(name);
  await self.clients.claim();
}

self.addEventListener("install", (event) => event.waitUntil(take()));
self.addEventListener("activate", (event) => event.waitUntil(clear()));
self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  // "no-store" is how the page finds out whether the server is there
  if (event.request.method !== "GET" || origin !== self.location.origin || event.request.cache === "no-store" || !(pathname in FILES)) return;
  event.respondWith((async () => (await (await caches.open(NAME)).match(pathname, { ignoreVary: true })) ?? fetch(event.request))());
});
