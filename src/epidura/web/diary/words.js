// Everything the diary says, by language. Another language is another table with the same keys; what it lacks is said in English.

const TABLE = {
  en: {
    title: "Pain diary", today: "Today", yesterday: "Yesterday", other: "Another day", days: "Day of this entry", pick: "Day",
    pain: "Pain", worst: "Worst pain", average: "Average pain", least: "Least pain", of10: "of 10", none: "no answer",
    pain0: "0 = no pain", pain10: "10 = worst imaginable",
    sleep: "Sleep", sleep0: "0 = very bad", sleep10: "10 = very good", activity: "What I could do", activity0: "0 = nothing", activity10: "10 = everything",
    medication: "Painkillers, beside my usual amount", med0: "None", "med0.5": "Half", med1: "As usual", "med1.5": "Half more", med2: "Twice", unanswered: "No answer",
    hours: "Hours with the stimulator on", hoursUnit: "h", off: "off", allDay: "all day", slot: "Program",
    tingling: "Where does it tingle?", front: "Front", back: "Back", left: "left", right: "right", list: "Choose from a list", nowhere: "Nowhere marked.",
    felt: "Marked: {areas}", same: "Same as {day}", clear: "Clear", yourLeft: "your left", yourRight: "your right",
    note: "Note", noteHelp: "Only if you like. Your clinic reads it.",
    save: "Save {day}", saving: "Saving …", optional: "Leave out what you do not want to answer.",
    lowered: "{which} cannot be above {other}, so it was set to {value}, too.", raised: "{which} cannot be below {other}, so it was set to {value}, too.",
    empty: "Nothing was answered yet. Tap at least one number, or the painkillers, or the hours.",
    saved: "Saved: {day}", sentWords: "Your clinic has it.", keptWords: "It is kept on this phone and will be sent as soon as the server can be reached.",
    keptOut: "It is kept on this phone. Ask your clinic for a new link; it is sent when you open that.",
    change: "Change this day", more: "Fill in another day", missing: "Fill in {day}, too",
    allSent: "All sent", toSend: "{n} kept on this phone, will be sent", notAccepted: "{n} not accepted", offline: "No connection", sending: "Sending …", nothingYet: "Ready",
    replaced: "You filled this day in before. What you save now takes its place.",
    sentMark: "sent", keptMark: "kept on this phone", refusedMark: "not accepted", emptyMark: "empty",
    refused: "Not accepted: {day}", mend: "Look at it and mend it", drop: "Delete it", dropSure: "Delete this entry for good?",
    earlier: "Your last two weeks", chartHelp: "Bar: least to worst pain. Dot: average.", chartWords: "{n} of the last 14 days are filled in. {average}{best}{worstDay}",
    averageIs: "Average pain {value} of 10. ", bestDay: "Best day: {day}, {value}. ", worstDay: "Worst day: {day}, {value}.", noDays: "No day is filled in yet.",
    table: "As a table", day: "Day",
    linkBad: "This link does not work any more", linkBadWhy: "A link opens the diary once, within 48 hours. This one was used, or it is too old.",
    linkAsk: "Ask your clinic for a new link, then open it on this phone.", linkUsed: "This link was used before. Your diary is open on this phone anyway.",
    out: "This phone may not send any more (a link holds for 21 days, or the clinic ended it). Ask your clinic for a new link. What you enter stays on this phone until then.",
    noOwner: "Open the link from your clinic", noOwnerWhy: "This phone has no diary yet. Your clinic gives you a link that opens it once; after that the diary is here.",
    waiting: "The link is opened as soon as there is a connection.", offlineFirst: "No connection to the clinic's server. Try again when you are online; this page looks by itself.",
    staff: "This link is for a patient", staffWhy: "You are logged in as {name} ({role}). Opening the link uses it up and ends your session in this browser.", staffGo: "Open the diary anyway",
    staffBack: "Back to the workbench", staffOnly: "The diary is for patients", staffOnlyWhy: "You are logged in as {name} ({role}). A patient opens it with a link that the clinic makes in the room Pathway.",
    foreign: "Another person's diary is on this phone", foreignWhy: "This phone keeps {n} of another diary, not sent yet. Nothing of it is sent with your link. It can wait here for a link of that person, or be deleted.",
    foreignKeep: "Keep it here", foreignDrop: "Delete it for good", foreignLine: "{n} of another diary: kept on this phone for a link of that person.",
    entry: "1 day", entries: "{n} days",
    noKeep: "This browser keeps nothing on this phone (a private window, perhaps). Stay on this page until it says that all is sent.",
    home: "Put it on your home screen", homeHow: "In the menu of your browser: “Add to home screen”. Then it opens like an app, without a connection, too.",
    forget: "Remove the diary from this phone", forgetWhy: "The diary is removed from this phone, and you need a new link to open it again. What was sent stays at the clinic.",
    forgetLost: "{n} not sent yet would be lost.", forgetGo: "Remove it", cancel: "Cancel", forgotten: "The diary was removed from this phone.",
    about: "About this diary", aboutWords: "Research and education software, not a medical device. Nobody watches the diary at night: if you feel unwell, call your clinic or the emergency number.",
    "area-neck": "neck", "area-head": "back of the head", "area-shoulder": "shoulder", "area-upper-arm": "upper arm", "area-forearm": "forearm", "area-hand": "hand",
    "area-chest": "chest", "area-upper-back": "upper back", "area-abdomen": "belly", "area-low-back": "lower back", "area-buttock": "buttock", "area-groin": "groin",
    "area-pelvis": "between the legs", "area-hip": "hip", "area-thigh": "thigh", "area-knee": "knee", "area-calf": "lower leg", "area-foot": "foot",
    "area-arm": "whole arm", "area-leg": "whole leg",
  },
};

const wanted = (navigator.languages ?? [navigator.language]).map((one) => one.slice(0, 2)).find((one) => one in TABLE) ?? "en";
export const LANGUAGE = wanted;
/** For days: the region of the phone, where it speaks this language. */
export const LOCALE = (navigator.languages ?? [navigator.language]).find((one) => one.startsWith(wanted)) ?? wanted;

/** What stands under a key, with `{name}` filled in. */
export function t(key, values = {}) {
  const text = TABLE[wanted][key] ?? TABLE.en[key];
  if (text === undefined) throw new Error(`words: nothing under ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const howMany = (n) => (n === 1 ? t("entry") : t("entries", { n }));
export const areaName = (id) => {
  const [side, rest] = id.startsWith("left-") ? ["left", id.slice(5)] : id.startsWith("right-") ? ["right", id.slice(6)] : ["", id];
  const name = TABLE[wanted][`area-${rest}`] ?? TABLE.en[`area-${rest}`] ?? rest.replaceAll("-", " "); // another room may know more areas
  return side ? `${t(side)} ${name}` : name;
};
