// Sends what is kept, in the order in which it was made. Each entry has a key of its own, so sending it again writes nothing twice, and the later of two
// entries of a day is the later one at the clinic, too.

import { Refused, post } from "../lib/api.js";

const AT_ONCE = 40;

/** One sender at a time, in all windows of this phone. */
const alone = (fn) => (navigator.locks ? navigator.locks.request("epidura-diary-send", fn) : fn());

/** Sends all that `patient` has kept; throws where the server cannot be reached or lets nobody in. Gives how many were answered. */
export function send(keep, patient) {
  return alone(async () => {
    const waiting = (await keep.entries()).filter((one) => one.patient === patient && one.state === "kept");
    for (let k = 0; k < waiting.length; k += AT_ONCE) await part(keep, patient, waiting.slice(k, k + AT_ONCE));
    return waiting.length;
  });
}

async function part(keep, patient, entries) {
  let told;
  try {
    told = await post(`/patients/${patient}/diary/sync`, { entries: entries.map(({ key, day, answers }) => ({ key, day, answers })) });
  } catch (failure) {
    if (!(failure instanceof Refused) || ![400, 413, 422].includes(failure.status)) throw failure;
    // one that the server cannot even read must not hold the others up
    if (entries.length > 1) for (const one of entries) await part(keep, patient, [one]);
    else await keep.mark(entries[0].order, { state: "refused", problem: failure.message, hint: failure.error.hint });
    return;
  }
  const answers = new Map(told.entries.map((one) => [one.key, one]));
  for (const one of entries) {
    const answer = answers.get(one.key);
    if (answer) await keep.mark(one.order, answer.state === "refused" ? { state: "refused", problem: answer.problem, hint: answer.hint } : { state: "sent", problem: "", hint: "" });
  }
}
