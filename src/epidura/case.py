"""The case: text that describes everything to be run.

``read`` makes a ``Case`` from a file, a text or a mapping; ``write`` makes the text again. Reading back
what was written gives an equal case.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from epidura import anatomy, axon, circuit, fibre, lead, waveform
from epidura.errors import BadCase, nearest
from epidura.firing import Firing
from epidura.generator import generator
from epidura.interface import LATEST, Interface, first_phase
from epidura.outlook import Outlook
from epidura.patient import Patient
from epidura.program import CASE, Program, rows
from epidura.recipe import Recipe, load, read_recipe
from epidura.recruitment import Rules
from epidura.transmission import Gate

if TYPE_CHECKING:
    from epidura.anatomy import Anatomy as AnyAnatomy
    from epidura.circuit import Circuit as AnyCircuit
    from epidura.fibre import Population as AnyPopulation
    from epidura.lead import Lead as AnyLead
else:
    AnyAnatomy, AnyLead, AnyPopulation, AnyCircuit = anatomy.family.field, lead.family.field, fibre.family.field, circuit.family.field


def _populations(value: object) -> object:
    """One population may stand alone; without any, the default ones are taken."""
    return [value] if isinstance(value, dict) else value


def _default_fibres() -> tuple[Any, ...]:
    return tuple(fibre.family.read({"kind": kind}) for kind in ("dorsal-column", "dorsal-root"))


def _firing(value: object) -> object:
    """``off`` stands for no fibres at all; YAML reads it as false."""
    return {"fibres": 0} if value is False or value == "off" else value


def _gate(value: object) -> object:
    """``off`` stands for no gate at all; YAML reads it as false."""
    return {"seeds": 0} if value is False or value == "off" else value


def _outcome(value: object) -> object:
    """``off`` stands for no prediction at all; YAML reads it as false."""
    return {"samples": 0} if value is False or value == "off" else value


def _default_circuit() -> Any:
    return circuit.family.read({"kind": "zhang-2014"})


def _left_out(schema: dict[str, Any]) -> None:
    """In the schema: what may be left out, but not be null."""
    (reference,) = (one for one in schema.pop("anyOf") if "$ref" in one)
    schema.pop("default")
    schema.update(reference)


class Case(Recipe):
    """Everything that a run depends on.

    Attributes:
        title: one line.
        about: why this case is worth running.
        patient: the person; without one, coverage is reported but not compared with pain.
        anatomy: the spinal canal, at the level of the active contacts or along the spine.
        leads: one to four. Contacts are numbered on from lead to lead, tip first: 1-8, 9-16. On a paddle column by column, from
            the patient's left to the right and from the tip downwards in each: with columns of 5, 6 and 5 contacts the left one
            has 1-5, the middle one 6-11 and the right one 12-16, and the next lead begins with 17.
        fibres: one population or several.
        programs: at least one.
        rules: from which share of firing fibres on something is felt or uncomfortable.
        interface: the double layer of the contacts; ``{}`` is that of platinum. Without one, contacts are bare. It adds to
            impedances and voltages and changes nothing else.
        generator: model of the catalogue that delivers the programs; without one, a generator that can do everything.
        firing: which fibres are followed in time; ``off`` for none.
        circuit: of the dorsal horn; without one, the published gate of four neurons.
        gate: how the circuit is run; ``off``: not at all. It needs fibres that are followed in time.
        outcome: how pain and quality of life are predicted; ``off``: not at all. It needs a patient.
    """

    title: str = Field(min_length=1)
    about: str = ""
    patient: Patient | None = None
    anatomy: AnyAnatomy
    leads: tuple[AnyLead, ...] = Field(min_length=1, max_length=4)
    fibres: Annotated[tuple[AnyPopulation, ...], BeforeValidator(_populations)] = Field(
        default_factory=_default_fibres, min_length=1)
    programs: tuple[Program, ...] = Field(min_length=1)
    rules: Rules = Rules()
    interface: Interface | None = Field(None, json_schema_extra=_left_out)
    generator: str | None = None
    firing: Annotated[Firing, BeforeValidator(_firing)] = Firing()
    circuit: AnyCircuit = Field(default_factory=_default_circuit)
    gate: Annotated[Gate, BeforeValidator(_gate)] = Gate()
    outcome: Annotated[Outlook, BeforeValidator(_outcome)] = Outlook()

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys that came later where they say nothing, so that keys of cases are what they were before these existed."""
        silent = {"interface": self.interface is None, "generator": self.generator is None, "firing": self.firing == Firing(),
                  "circuit": self.circuit == _default_circuit(), "gate": self.gate == Gate(),
                  "outcome": self.outcome == Outlook()}
        return {name: value for name, value in handler(self).items() if not silent.get(name, False)}

    @property
    def contact_count(self) -> int:
        """How many contacts all leads have together."""
        return sum(len(one.shape().contacts) for one in self.leads)

    @property
    def rows(self) -> tuple[Program, ...]:
        """The programs as the results list them: one row a train."""
        return tuple(row for program in self.programs for row in rows(program))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        count = self.contact_count
        for i, program in enumerate(self.programs):
            for k, train in enumerate(program.trains):
                for number in train.contacts:
                    if number != CASE and not 1 <= number <= count:
                        place = f"programs[{i}]." + (f"interleaved[{k - 1}]." if k else "")
                        raise BadCase(f"{place}contacts.{number}", "there is no such contact", got=number, allowed=f"1 to {count}, or case")
        _unique("programs", [program.name for program in self.programs])
        kinds = [population.kind for population in self.fibres]
        _unique("fibres", kinds)
        for i, population in enumerate(self.fibres):
            if population.axon not in axon.family.members:
                raise BadCase(f"fibres[{i}].axon", "there is no axon of this kind", got=population.axon,
                              allowed=axon.family.allowed(), hint=nearest(population.axon, axon.family.members))
        if self.generator is not None:
            generator(self.generator)
        if self.interface is not None and self.interface.charge_transfer is not None:
            longest = max(first_phase(program.waveform.unit())[0] for program in self.programs)
            if longest > self.interface.latest:
                least = (longest / LATEST) ** self.interface.exponent / self.interface.magnitude
                raise BadCase("interface.charge_transfer", f"is too small for a phase that ends after {longest * 1e6:g} us",
                              got=f"{self.interface.charge_transfer:g} ohm m2", allowed=f"from {least:.3g} ohm m2 on")
        return self


def _unique(what: str, names: list[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise BadCase(f"{what}[{i}]", "a name that is taken", got=name, allowed=f"different names of {what}")


def read(source: str | Path | dict[str, Any]) -> Case:
    """The case in a file, in a YAML text with at least one line break, or in a mapping.

    Raises:
        BadCase, BadUnit, BadGeometry: with the path in the case, what was got and what is allowed.
    """
    return _from_mapping(load(source, "case", Case))


def _from_mapping(value: dict[str, Any]) -> Case:
    if "interface" in value and value["interface"] is None:
        # in YAML a key with nothing after it; it would be read as no interface, where one was meant
        raise BadCase("interface", "nothing stands here", allowed="a mapping of keys", hint="write {} for the interface of platinum, or leave it out")
    case: Case = read_recipe(Case, value)
    return case


def to_text(case: Case) -> str:
    """The case as YAML; ``read`` gives an equal case back."""
    return text_of(case.model_dump(mode="json"))


def text_of(written: dict[str, Any]) -> str:
    """A case that is written as a mapping, as YAML; nothing is checked."""
    kept = {k: v for k, v in written.items() if v not in (None, "")}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=110)


def write(case: Case, path: str | Path) -> None:
    """Write the case as YAML to a file: under another name first, so that an earlier file is whole until the new one is."""
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(to_text(case), encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def json_schema() -> dict[str, Any]:
    """JSON schema of a case, with the kinds of every family under ``$defs``."""
    schema = Case.model_json_schema()
    families = (anatomy.family, lead.family, fibre.family, waveform.family, circuit.family)
    schema.setdefault("$defs", {}).update({family.name: family.json_schema() for family in families})
    return schema
