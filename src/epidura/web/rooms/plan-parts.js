// What the parts of the room Plan share: words of a case as numbers, and requests that follow a hand.

export const SIDES = ["left", "right"];

/** An area of pain as its sides and its name; without a side it is both. */
export const split = (area) => { const side = SIDES.find((one) => area.startsWith(`${one}-`)); return side ? [[side], area.slice(side.length + 1)] : [SIDES, area]; };
/** "50 um" is 0.05 mm. */
export const mm = (written) => { const found = /^\s*(-?[\d.eE+-]+)\s*(um|mm|cm|m)\s*$/.exec(written ?? ""); return found ? Number((Number(found[1]) * { um: 1e-3, mm: 1, cm: 10, m: 1e3 }[found[2]]).toPrecision(9)) : null; };
/** "0.1 rad" is 5.73 degrees. */
export const deg = (written) => { const found = /^\s*(-?[\d.eE+-]+)\s*(deg|rad)\s*$/.exec(written ?? ""); return found ? Number((Number(found[1]) * (found[2] === "rad" ? 180 / Math.PI : 1)).toPrecision(6)) : null; };
/** What the field depends on. */
export const position = (copy) => JSON.stringify([copy.anatomy, copy.leads]);

/** One request in flight; of those asked for meanwhile the latest is sent next. */
export function pump(send, done, fail) {
  let busy = false, next = null;
  return async (what) => {
    if (busy) { next = { what }; return; }
    busy = true;
    for (let now = { what }; now; now = next) {
      next = null;
      try { const answer = await send(now.what); if (!next) await done(answer, now.what); } catch (failure) { if (!next) fail(failure, now.what); }
    }
    busy = false;
  };
}

/** Shows a value in a field, unless it is just being emptied. */
export function set(node, value) {
  if (node.input === document.activeElement && node.input.type === "number" && String(value) !== node.input.value && node.input.value === "") return;
  if (node.value !== String(value)) node.value = value;
}
