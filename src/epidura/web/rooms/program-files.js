// Programs as files, and into a patient's record.

import { post, tagged } from "../lib/api.js";
import { el, fill } from "../lib/dom.js";
import { button, check, complain, number, text } from "../lib/fields.js";

export function files(room) {
  const problem = el("div", {}), record = el("div", {}), { bench, draft } = room;
  room.download = (name, content, type) => {
    const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const input = el("input", { type: "file", accept: ".json,.yaml,.yml", "aria-label": "open a program file", onchange: () => open() });
  const take = check("with its leads and generator", {});
  const node = el("div", {}, el("div", { class: "row" }, button("Save as file", save, { where: problem }), el("label", { class: "button filebutton" }, "Open a file", input)), take, record, problem);

  async function save() {
    const { text: content } = await post("/program/write", { case: draft.case });
    room.download(`${draft.case.title.replace(/[^\w-]+/g, "-").toLowerCase().slice(0, 60) || "programs"}.json`, content, "application/json");
  }

  async function open() {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    fill(problem);
    if (file.size > 1_000_000) { complain(problem, new Error("This file is larger than 1 MB; a program file is not.")); return; }
    try {
      const told = await post("/program/open", { case: draft.case, text: await file.text(), leads: take.value });
      draft.change((copy) => { Object.assign(copy, told.case); }, `open ${file.name}`);
      room.open(0);
      bench.say(`${told.programs === 1 ? "One program" : `${told.programs} programs`} from ${file.name}${told.other_leads ? ", with other leads than before" : ""}.`, "good");
    } catch (failure) { complain(problem, failure); }
  }

  function draw() {
    const team = ["physician", "nurse"].includes(bench.me.person.role);
    fill(record, !team ? null : draft.patient ? button("Save to the patient's record", ask, { kind: "main", where: problem }) : el("p", { class: "help" }, "To save a program to a record, open it from a patient in Pathway."));
  }

  /** What was felt is entered by whoever felt it; nothing computed is put there. */
  async function ask() {
    const where = el("div", {}), program = room.one();
    const slot = text("Slot on the device", { value: program.name, maxlength: 120, required: true }), on = text("Day", { type: "date", value: new Date().toLocaleDateString("sv") });
    const felt = number("Perception felt at", { unit: "mA", min: 0, max: 100 }), hurts = number("Uncomfortable at", { unit: "mA", min: 0, max: 100 }), set = number("Amplitude left with the patient", { unit: "mA", min: 0, max: 100 });
    const keep = check("keep this case and what it predicts beside it", { checked: true });
    const areas = el("details", {}, el("summary", {}, "Where it tingles"), el("div", { class: "settings" }, room.drawing.areas.map((each) => { const box = check(each.name, {}); box.dataset.area = each.id; return box; })));
    const box = el("dialog", { "aria-labelledby": "torecord" }, el("h2", { id: "torecord" }, `Save “${program.name}” to the record`),
      el("p", { class: "help" }, "Fill in what was felt and measured; leave empty what was not. Nothing that is computed is written as felt."),
      el("form", { onsubmit: async (event) => {
        event.preventDefault();
        try {
          const covered = [...areas.querySelectorAll("[data-area]")].filter((each) => each.value).map((each) => each.dataset.area);
          const { events } = await post("/program/event", { case: draft.case, program: room.state.index, on: on.value, slot: slot.value, perception_mA: felt.number, discomfort_mA: hurts.number, set_mA: set.number, covered, keep_case: keep.value });
          const { etag } = await tagged(`/patients/${draft.patient}`);
          const written = await bench.outbox.put({ method: "POST", path: `/patients/${draft.patient}/events`, body: { events }, etag, words: `program ${slot.value}` });
          close();
          bench.say(written ? `Program ${slot.value} is on the record.` : "The server is away: the program is kept here and sent when it is back.", written ? "good" : "");
        } catch (failure) { complain(where, failure); }
      } }, where, slot, on, felt, hurts, set, areas, keep, el("div", { class: "row" }, el("button", { class: "main", type: "submit" }, "Save"), button("Cancel", () => close()))));
    const close = () => { box.close(); box.remove(); };
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  }

  return { node, draw };
}
