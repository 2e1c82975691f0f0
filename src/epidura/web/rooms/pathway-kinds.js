// What each kind of event is called, where it belongs, and how its form asks. Schemas come from the server; here are order and wording only.

const percent = { unit: "%", scale: 100 };
const nrs = { unit: "of 10" };
const stage = { label: "Stage" };
const part = { manufacturer: { label: "Manufacturer", more: true }, serial: { label: "Serial number" }, lot: { label: "Lot" }, udi: { label: "UDI", more: true } };
const identity = {
  label: "Identity", order: ["given_name", "family_name", "birth_date", "phone", "email", "address", "contact", "identifiers"], rest: "Address and numbers",
  fields: { given_name: { label: "Given name" }, family_name: { label: "Family name" }, birth_date: { label: "Date of birth" }, phone: { label: "Phone" }, email: { label: "E-mail", more: true }, address: { label: "Address", more: true },
    contact: { label: "Somebody to call", more: true, help: "" }, identifiers: { label: "Numbers", key: "Whose number, such as hospital", itemLabel: "Number", add: "Add a number", more: true } },
};
const moments = (view) => [...new Set(["baseline", "trial", ...view.visits.map((one) => one.visit)])].map((id) => ({ id, name: id }));

/** kind -> {name, act, section, about, order, fields, prefill(view, me), finish(value): what is sent} */
export const KINDS = {
  "patient.registered": { name: "Entered the record", act: "Refer a patient", section: "overview" },
  "patient.identified": { name: "Identity", act: "Correct or complete the identity", section: "overview", order: ["identity", "sex", "language"],
    fields: { identity, birth_year: { hide: true }, sex: { label: "Sex" }, language: { label: "Language" } }, prefill: (view) => ({ identity: view.identity ?? {} }) },
  "patient.died": { name: "Death", act: "Record the patient's death", section: "overview", fields: { related: { label: "Related to the system" } } },
  "patient.erased": { name: "Erased", act: "", section: "overview" },
  "referral.received": { name: "Referral", act: "Record a new referral", section: "overview", order: ["on", "indication", "nrs", "referrer", "pain_areas", "question"],
    fields: { on: { label: "Referred on" }, indication: { label: "Indication", list: "indications" }, pain_areas: { label: "Where it hurts", widget: "areas" }, nrs: { label: "Average pain", ...nrs }, referrer: { label: "Referred by" }, question: { label: "Question" } } },
  "note.added": { name: "Note", act: "Write a note", section: "overview", fields: { text: { label: "Note", rows: 4 } } },

  "assessment.recorded": { name: "Assessment", act: "Record the assessment", section: "selection", about: "What is left out counts as missing, never as normal. The checklist follows from the answers; it adds nothing up.",
    order: ["on", "jurisdiction", "findings"],
    fields: { on: { label: "Assessed on" }, jurisdiction: { label: "Rule to hold it against", list: "jurisdictions" },
      findings: { label: "Findings", rest: "Research, and what comes after the trial stage",
        order: ["age", "indication", "neuropathic", "pain_since", "pain_nrs", "pain_vas", "location", "anatomy", "communication_needs", "tests_adapted", "least_costly", "tried", "team", "screens", "psychosocial", "contraindications"],
        fields: { assessed: { hide: true }, age: { label: "Age", unit: "years" }, indication: { label: "Indication", list: "indications" }, neuropathic: { label: "Neuropathic component found on examination" }, pain_since: { label: "Pain since" },
          pain_nrs: { label: "Pain, numeric scale", ...nrs }, pain_vas: { label: "Pain, visual analogue scale", unit: "mm" }, location: { label: "Where it hurts, in words", rows: 2 },
          anatomy: { label: "Does the spine's anatomy speak against a lead?" }, communication_needs: { label: "Do tests have to be adapted to a disability or language?" }, tests_adapted: { label: "Were they adapted?" },
          least_costly: { label: "Least costly of equally suitable systems" }, research: { label: "Clinical trial in which stimulation is given", more: true }, trial_success: { label: "Verdict of the trial stage", more: true },
          tried: { label: "Treatments so far", add: "Add a treatment", item: { order: ["kind", "what", "effect", "begin", "end", "note"], fields: { kind: { label: "Kind of treatment" }, what: { label: "What", help: "such as pregabalin 600 mg a day" }, begin: { label: "From" }, end: { label: "Until", help: "empty while it goes on" }, effect: { label: "Effect on the pain" }, note: { label: "Note" } } } },
          team: { label: "Team", add: "Add a member", help: "Two professions or more; signatures are given afterwards.", item: { order: ["name", "role", "experienced", "agrees", "reason"], fields: { name: { label: "Name" }, role: { label: "Profession" }, experienced: { label: "Experienced in stimulation" }, agrees: { label: "Agrees with a trial" }, reason: { label: "Reason", help: "needed for a no" } } } },
          screens: { label: "Screening scores for neuropathic pain", list: "screens", item: { unit: "points" } }, psychosocial: { label: "Psychosocial factors: how strong is …", list: "psychosocial", item: {}, others: "none" }, contraindications: { label: "Contraindications: is there …", list: "contraindications", item: {}, others: "no" } } } },
    finish: (value) => ({ ...value, findings: { ...value.findings, assessed: value.on } }),
    prefill: (view) => (view.state.assessment ? { jurisdiction: view.state.assessment.jurisdiction, findings: { ...view.state.assessment.findings, assessed: undefined } }
      : { findings: { indication: view.state.indication, pain_nrs: view.state.referral_nrs ?? undefined, age: view.state.birth_year ? Number(view.today.slice(0, 4)) - view.state.birth_year : undefined } }) },
  "team.signed": { name: "Signature", act: "Sign for the team", section: "selection", fields: { on: { label: "Signed on" }, member: { label: "Member of the team", order: ["name", "role", "agrees", "reason", "experienced"], fields: {
    name: { label: "Name" }, role: { label: "Profession" }, agrees: { label: "Agrees with a trial", needed: true }, reason: { label: "Reason", help: "needed for a no" }, experienced: { label: "Experienced in stimulation" } } } },
    prefill: (view, me) => ({ member: { name: me.person.name, role: me.person.role } }) },
  "selection.decided": { name: "Decision", act: "Decide on selection", section: "selection", order: ["on", "decision", "to_do", "despite"],
    fields: { on: { label: "Decided on" }, decision: { label: "Decision" }, to_do: { label: "To do first", help: "what has to be mended before" }, despite: { label: "Hard criteria that the team sets aside", widget: "despite" }, why: { label: "Reason", help: "needed where a criterion is set aside" } } },

  "consent.recorded": { name: "Consent", act: "Record a consent", section: "procedure", fields: { on: { label: "Recorded on" }, consent: { label: "Consent", order: ["stage", "explained_on", "signed_on", "explained_by", "role", "text_version", "language", "risks", "alternatives", "reversibility", "questions", "withdrawn_on"], rest: "Taken back",
    fields: { stage: { label: "Consent to" }, explained_on: { label: "Explained on", value: today() }, signed_on: { label: "Signed by the patient on", help: "empty while it is not signed" }, explained_by: { label: "Explained by" }, role: { label: "Profession" }, text_version: { label: "Version of the text" }, language: { label: "Language of the text" },
      risks: { label: "Risks that were named", list: "risks" }, alternatives: { label: "Other treatments were explained" }, reversibility: { label: "That the system can be taken out again was explained" }, questions: { label: "Questions of the patient, and the answers", rows: 2 }, withdrawn_on: { label: "Taken back on", more: true } } } },
    prefill: (view, me) => ({ consent: { stage: stageOf(view), explained_by: me.person.name, role: me.person.role, language: view.state.language ?? "en" } }) },
  "procedure.planned": { name: "Plan", act: "Plan the procedure", section: "procedure", order: ["on", "stage", "planning", "drugs", "anaesthesia", "allergies"],
    fields: { on: { label: "Planned on" }, stage, planning: { label: "Site and level", order: ["target", "target_level", "entry_level", "side", "leads", "generator_site", "imaging"], fields: { target: { label: "Where the pain is", widget: "target" }, target_level: { label: "Vertebra of the active cathode", list: "levels" }, entry_level: { label: "Needle enters below", list: "levels" },
      side: { label: "Side of the leads" }, leads: { label: "Leads", unit: "of 4 at most" }, generator_site: { label: "Site of the generator" }, imaging: { label: "Imaging, and what it showed", rows: 2 }, case: { hide: true } } },
      drugs: { label: "Drugs on clotting", widget: "clotting", whole: true }, hold: { widget: "nothing" },
      anaesthesia: { label: "Anaesthesia", order: ["kind", "by", "fasting", "feedback", "drugs"], fields: { kind: { label: "Kind" }, by: { label: "Responsible" }, fasting: { label: "Fasting is confirmed" }, feedback: { label: "The patient can tell what is felt" }, drugs: { label: "Drugs planned" } } },
      allergies: { label: "Allergies", fields: { answers: { label: "Known allergy to …", list: "substances", item: {}, others: "no" }, reactions: { label: "What happened", key: "Substance", itemLabel: "Reaction", add: "Add a reaction" } } } },
    prefill: (view) => ({ planning: {}, ...view.state.plans?.[stageOf(view)], on: undefined, why: undefined, stage: stageOf(view) }) },
  "infection.checked": { name: "Bundle against infection", act: "Tick the bundle against infection", section: "procedure", order: ["on", "stage", "bundle"], fields: { on: { label: "On" }, stage, bundle: { label: "", fields: { ticks: { widget: "measures" } } } },
    prefill: (view) => ({ stage: stageOf(view), bundle: { ticks: view.state.bundles?.[stageOf(view)]?.ticks ?? {} } }) },

  "lead.implanted": { name: "Lead placed", act: "Record a lead", section: "procedure", order: ["on", "stage", "lead", "model", "level", "side", "serial", "lot", "technique", "entry"],
    fields: { on: { label: "Placed on" }, stage, lead: { label: "Name of the lead", help: "such as left" }, model: { label: "Model", list: "leads", suggest: true, help: "from the list, or another" }, level: { label: "Vertebra at the tip", list: "levels", suggest: true }, side: { label: "Side" }, technique: { label: "Technique", more: true }, entry: { label: "Needle enters at", more: true, list: "levels", suggest: true }, ...part },
    prefill: (view) => ({ stage: stageOf(view), lead: Object.keys(view.state.leads ?? {}).length ? "" : "main" }) },
  "lead.moved": { name: "Lead moved", act: "Record that a lead moved", section: "implant", fields: { on: { label: "Seen on" }, lead: { label: "Lead", list: "leadsHere" }, level: { label: "Vertebra at the tip now", list: "levels", suggest: true }, how: { label: "How" }, distance_mm: { label: "Distance", unit: "mm" } } },
  "lead.removed": { name: "Lead removed", act: "Record that a lead was removed", section: "explant", fields: { on: { label: "Removed on" }, lead: { label: "Lead", list: "leadsHere" }, outcome: { label: "Outcome" } } },

  "program.set": { name: "Program", act: "Set a program", section: "trial", order: ["on", "slot", "program", "perception_mA", "discomfort_mA", "set_mA", "covered", "impedances_ohm"],
    fields: { on: { label: "Set on" }, slot: { label: "Name of the program on the device", help: "such as A; a program of the same name is replaced" }, program: { widget: "program" }, perception_mA: { label: "First felt at", unit: "mA", help: "" }, discomfort_mA: { label: "Uncomfortable at", unit: "mA", help: "" }, set_mA: { label: "Left with the patient at", unit: "mA", help: "" },
      covered: { label: "Where it tingles", widget: "areas" }, impedances_ohm: { label: "Impedances", key: "Contact", itemLabel: "Impedance", item: { unit: "Ω" }, add: "Add a contact", more: true }, charge: { hide: true } }, prefill: (view) => ({ slot: Object.keys(view.state.programs ?? {}).at(-1) ?? "A" }) },
  "program.removed": { name: "Program removed", act: "Take a program off", section: "trial", fields: { on: { label: "Removed on" }, slot: { label: "Program", list: "slots" } } },
  "case.linked": { name: "Simulated", act: "", section: "trial" },
  "trial.begun": { name: "Trial begun", act: "Begin the trial", section: "trial", order: ["on", "days", "rule", "baseline_nrs", "baseline_activity", "baseline_medication", "index_before"], fields: { on: { label: "Begins on" }, rule: { label: "Rule of the verdict", list: "rules", help: "chosen before it begins" }, days: { label: "Planned length", unit: "days", help: "" }, baseline_nrs: { label: "Average pain before", ...nrs, help: "" },
    baseline_activity: { label: "Activity before", unit: "0 worst to 10", help: "" }, baseline_medication: { label: "Painkillers before", unit: "1 is as usual", help: "doses relative to the usual ones" }, index_before: { label: "EQ-5D index before", help: "−1 to 1" } },
    prefill: (view) => ({ baseline_nrs: view.state.assessment?.findings?.pain_nrs ?? view.state.referral_nrs ?? undefined, baseline_medication: 1 }) },
  "trial.ended": { name: "Trial ended", act: "End the trial", section: "trial", order: ["on", "reported_relief", "early", "index_during"], fields: { on: { label: "Ended on" }, reported_relief: { label: "Relief that the patient reports", ...percent, help: "0 is none, 100 is no pain left; below 0 is worse than before" }, index_during: { label: "EQ-5D index at the end", help: "−1 to 1" }, early: { label: "Ended early because of", none: "as planned" } } },
  "trial.judged": { name: "Trial judged", act: "Judge the trial", section: "trial", order: ["on", "succeeded", "rule_says"], fields: { on: { label: "Judged on" }, succeeded: { label: "The trial", yes: "succeeded", no: "did not succeed", needed: true }, rule_says: { hide: true }, why: { label: "Reason", help: "needed where the decision differs from the rule" } },
    prefill: (view) => ({ rule_says: view.verdict?.passed ?? undefined }) },

  "generator.implanted": { name: "Generator placed", act: "Record the generator", section: "implant", order: ["on", "model", "site", "side", "serial", "lot", "stay", "rechargeable"], fields: { on: { label: "Placed on" }, model: { label: "Model", list: "generators", suggest: true }, site: { label: "Site" }, side: { label: "Side" }, rechargeable: { label: "Rechargeable" }, stay: { label: "Stay" }, ...part } },
  "generator.removed": { name: "Generator removed", act: "Record that the generator was removed", section: "explant", fields: { on: { label: "Removed on" }, replaced: { label: "Exchanged for another" }, reason: { label: "Reason" } } },
  "patient.discharged": { name: "Discharge", act: "Discharge", section: "implant", fields: { on: { label: "Went home on" }, overnight: { label: "Stayed overnight" } } },
  "revision.recorded": { name: "Revision", act: "Record a revision", section: "implant", fields: { on: { label: "Operated on" }, what: { label: "What was revised" } } },
  "device.recalled": { name: "Safety notice", act: "Record a safety notice about a device", section: "implant", fields: { on: { label: "On" }, notice: { label: "Number or address of the notice" }, part: { label: "Part", list: "parts" }, state: { label: "What was done" } } },

  "visit.recorded": { name: "Visit", act: "Record a visit", section: "followup", order: ["on", "visit", "nrs", "reported_relief", "battery", "index", "note"], fields: { on: { label: "Seen on" }, visit: { label: "Visit", list: "visits" }, nrs: { label: "Average pain", ...nrs }, reported_relief: { label: "Relief that the patient reports", ...percent, help: "" }, index: { label: "EQ-5D index", help: "−1 to 1" }, battery: { label: "Battery", unit: "% of full", scale: 100, help: "" }, note: { label: "Note", rows: 3 } },
    prefill: (view) => ({ visit: view.visits.find((one) => one.state === "overdue" || one.state === "due")?.visit ?? "unplanned" }) },
  "instrument.answered": { name: "Questionnaire", act: "Record a questionnaire", section: "followup", order: ["on", "moment", "by", "instrument"], fields: { on: { label: "Answered on" }, moment: { label: "When", list: "moments", suggest: true }, by: { label: "Filled in by" }, instrument: { widget: "instrument", whole: true }, answers: { widget: "nothing" } },
    prefill: (view) => ({ moment: moments(view).find((one) => view.visits.some((visit) => visit.visit === one.id && (visit.state === "due" || visit.state === "overdue")))?.id ?? (view.state.implanted ? view.visits.findLast((one) => one.state === "done")?.visit ?? "" : view.state.trial ? "trial" : "baseline") }) },
  "salvage.tried": { name: "Step of salvage", act: "Record a step of salvage", section: "followup", fields: { on: { label: "Recorded on" }, name: { label: "Step", list: "salvage" }, step: { label: "What was done", order: ["state", "on", "by", "result"], fields: { state: { label: "State" }, on: { label: "Day" }, by: { label: "By" }, result: { label: "Result", rows: 2, help: "the reason where it was not possible" } } } },
    prefill: (view, me) => ({ name: view.salvage.find((one) => !one.done)?.step, step: { by: me.person.name } }) },
  "diary.recorded": { name: "Diary", act: "Write a day of the diary for the patient", section: "trial", order: ["on", "average", "worst", "least", "sleep", "activity", "medication", "stimulation_hours", "slot", "tingling", "note"],
    fields: { on: { label: "Day" }, average: { label: "Average pain", ...nrs }, worst: { label: "Worst pain", ...nrs }, least: { label: "Least pain", ...nrs }, sleep: { label: "Sleep", unit: "0 worst to 10" }, activity: { label: "Activity", unit: "0 worst to 10" }, medication: { label: "Painkillers", unit: "1 is as usual", help: "" }, stimulation_hours: { label: "Stimulation", unit: "h" }, slot: { label: "Program in use", list: "slots", suggest: true }, tingling: { label: "Where it tingles", widget: "areas", more: true }, note: { label: "Note" } } },

  "complication.recorded": { name: "Complication", act: "Record a complication", section: "complications", order: ["on", "name", "complication"],
    fields: { on: { label: "Recorded on" }, name: { label: "Name within this record", help: "the same name again replaces what is known of it" }, complication: { label: "What happened", order: ["kind", "subkind", "stage", "onset", "severity", "description", "criteria", "device", "procedure", "anticipated", "deficiency", "outcome", "ended", "actions"], rest: "Reported, serial numbers",
      fields: { kind: { label: "Kind", list: "complications" }, subkind: { label: "More exactly", list: "subkinds", depends: "kind", by: "of" }, stage: { label: "Stage" }, onset: { label: "Began on", value: today() }, reported: { label: "Reported on", more: true }, description: { label: "In words", rows: 2, help: "needed for something else" }, severity: { label: "How strong", list: "severities", help: "not the same as serious" },
        criteria: { label: "What it led to", list: "criteria", none: "none of these" }, device: { label: "Related to the device" }, procedure: { label: "Related to the procedure" }, anticipated: { label: "Named in the consent" }, deficiency: { label: "A device was found wanting" }, devices: { label: "Serial numbers", more: true }, outcome: { label: "Outcome" }, ended: { label: "Ended on" },
        actions: { label: "What was done", add: "Add what was done", item: { fields: { on: { label: "Day" }, what: { label: "What" } } } } } } },
    prefill: (view) => ({ name: `complication ${view.complications.length + 1}`, complication: { stage: view.state.implanted ? "follow-up" : "trial" } }) },
  "system.explanted": { name: "Explant", act: "Record the explant", section: "explant", fields: { on: { label: "Taken out on" }, reason: { label: "Reason" }, complete: { label: "Everything was taken out" } } },
  "record.corrected": { name: "Correction", act: "", section: "overview" },
};

for (const one of Object.values(KINDS)) one.fields = { ...one.fields, why: { label: "Remark", rows: 1, ...one.fields?.why } };

/** What is usually next at a stage, first things first; everything else that is possible stands under "more". */
export const USUAL = {
  registered: ["referral.received"],
  referred: ["assessment.recorded", "instrument.answered"],
  assessed: ["selection.decided", "team.signed"],
  "not suitable": ["assessment.recorded", "referral.received"],
  "optimise first": ["assessment.recorded", "selection.decided"],
  selected: ["lead.implanted", "consent.recorded", "procedure.planned", "infection.checked"],
  "provisional implant": ["trial.begun", "program.set", "lead.implanted"],
  "trial running": ["trial.ended", "program.set", "diary.recorded"],
  "trial ended": ["trial.judged", "instrument.answered", "lead.removed"],
  "trial failed": ["lead.removed", "patient.discharged", "referral.received"],
  "trial succeeded": ["generator.implanted", "consent.recorded", "procedure.planned", "infection.checked"],
  "definitive implant": ["patient.discharged", "visit.recorded", "program.set"],
  "follow-up": ["visit.recorded", "program.set", "instrument.answered", "complication.recorded"],
  revised: ["visit.recorded", "program.set", "instrument.answered", "complication.recorded"],
  explanted: ["visit.recorded", "referral.received"],
};

export const SECTIONS = { overview: "Overview", selection: "Selection", procedure: "Procedure", trial: "Trial", implant: "Implant", followup: "Follow-up", complications: "Complications", explant: "Explant" };

/** The stage that a procedure now belongs to. */
export function stageOf(view) { return view.state.implanted || view.stage === "trial succeeded" ? "implant" : "trial"; }

/** Lists of this patient beside those that are the same for everybody. */
export function ownLists(view) {
  const here = Object.entries(view.state.leads ?? {}).filter(([, one]) => !one.out).map(([id, one]) => ({ id, name: `${id} (${one.model}, ${one.level})` }));
  return { leadsHere: here, parts: [...Object.keys(view.state.leads ?? {}).map((id) => ({ id, name: `lead ${id}` })), ...(view.state.generator ? [{ id: "generator", name: "generator" }] : [])],
    slots: Object.keys(view.state.programs ?? {}).map((id) => ({ id, name: id })), moments: moments(view), visits: [...view.visits.filter((one) => one.state !== "later").map((one) => ({ id: one.visit, name: `${one.name} (${one.state})` })), ...view.visits.filter((one) => one.state === "later").map((one) => ({ id: one.visit, name: one.name })), { id: "unplanned", name: "unplanned" }] };
}

export function today() { const now = new Date(); return new Date(now - now.getTimezoneOffset() * 60000).toISOString().slice(0, 10); }

/** A sentence about what is missing, with kinds of events as a person calls them. */
export function lack(words) {
  return words.replace(/ \(([a-z]+\.[a-z]+)\)/g, "").replace(/\b([a-z]+\.[a-z]+)\b/g, (kind) => (KINDS[kind] ? KINDS[kind].name.toLowerCase() : kind));
}
/** The kind that would mend it, if the sentence names one. */
export function mends(words) {
  const named = /\(([a-z]+\.[a-z]+)\)/.exec(words)?.[1];
  if (named && KINDS[named]) return named;
  if (words.startsWith("consent:")) return "consent.recorded";
  if (words.startsWith("the plan ")) return "procedure.planned";
  if (words === "no assessment was recorded" || words.includes("not answered:")) return "assessment.recorded";
  if (words === "no lead is in place") return "lead.implanted";
  if (words === "no generator is in place") return "generator.implanted";
  return null;
}
