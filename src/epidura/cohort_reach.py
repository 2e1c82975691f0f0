"""What programs reach in the people of a cohort: where leads are placed first and anew, after a programming session, and once leads have moved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from epidura import virtual
from epidura.case import Case
from epidura.errors import BadGeometry, BadInput
from epidura.programming import Session, programmed, words_of
from epidura.reach import Reach, reaches
from epidura.result import Result
from epidura.stages import Procedure
from epidura.study import run
from epidura.virtual_sessions import Programmer


@dataclass(frozen=True)
class Spot:
    """One program with leads at one place.

    Attributes:
        reach: with the combination of contacts that was chosen.
        contacts: that one, as ``4-5+``.
        tried: how many combinations were.
        as_written: coverage with the contacts of the program.
    """

    reach: Reach
    contacts: str
    tried: int
    as_written: float


Spots = tuple[Spot, ...]


@dataclass(frozen=True)
class Reached:
    """Per program what is reached in one person; None where the lead does not fit.

    Attributes:
        first: with the leads of the trial stage.
        anew: with leads that were placed a second time.
        first_moved, anew_moved: after those have moved and another session was held; None where that is not known.
    """

    first: Spots | None
    anew: Spots | None
    first_moved: Spots | None = None
    anew_moved: Spots | None = None

    def stages(self, procedure: Procedure) -> tuple[Spots | None, Spots | None, Spots | None, Spots | None]:
        """Of the trial stage and of the definitive stage, and the same once leads have moved. Leads that are removed after the trial stage are
        placed anew; so are those of people who are not tried, which so have the same leads with and without a trial stage."""
        if procedure.has_trial and procedure.technique != "percutaneous":
            return self.first, self.first, self.first_moved, self.first_moved
        return self.first, self.anew, self.first_moved, self.anew_moved


def persons(case: Case, seed: int, index: int) -> tuple[virtual.Person | None, virtual.Person | None]:
    """A person with the leads as first placed, and as placed anew; None where they do not fit."""
    found: list[virtual.Person | None] = [None, None]
    for k, anew in enumerate((False, True)):
        with suppress(BadGeometry):
            found[k] = virtual.person(case, seed, index, anew=anew)
    return found[0], found[1]


def moved_persons(case: Case, seed: int, index: int, first: bool, anew: bool) -> tuple[virtual.Person | None, virtual.Person | None]:
    """The same two once their leads have moved; None where that is not asked for, or where there is no such place.

    Args:
        case, seed, index: of the person.
        first, anew: whether the leads as first placed, and those placed anew, may move.
    """
    found: list[virtual.Person | None] = [None, None]
    for k, asked in enumerate((first, anew)):
        with suppress(BadInput):  # no room for a lead there, or beyond the spine that is known
            found[k] = virtual.person(case, seed, index, migrated=True, anew=bool(k)) if asked else None
    return found[0], found[1]


def between_nodes(programmer: Programmer, people: Sequence[virtual.Person | None], session: bool) -> Reached:
    """By the surrogate.

    Args:
        programmer: with the surrogate.
        people: of ``persons``.
        session: whether a session is held; without one programs keep their contacts. Nodes without maps know nothing of leads that have moved.
    """
    surrogate, spots = programmer.of, list[Spots | None]()
    for anew, one in enumerate(people):
        if one is None:
            spots += [None, None]
        elif not surrogate.tried:
            spots += [tuple(plain(reach, one.case, i) for i, reach in enumerate(surrogate.reach(one))), None]
        else:
            caudal = virtual.migration_of(one.seed, one.index, bool(anew))
            here = [_spot(*found) for found in programmer.hold(one)] if session else \
                [plain(reach, one.case, i) for i, reach in enumerate(surrogate.reach(one))]
            spots += [tuple(here), tuple(_spot(*found) for found in programmer.hold(one, caudal, keep=not session))]
    return Reached(spots[0], spots[2], spots[1], spots[3])


def _spot(session: Session, reach: Reach) -> Spot:
    return Spot(reach, session.best.combination.words, len(session.tried), session.tried[0].coverage)


def plain(reach: Reach, case: Case, i: int) -> Spot:
    """Without a session."""
    return Spot(reach, words_of(case.programs[i].contacts), 1, reach.coverage)


def by_chain(case: Case) -> list[Spot]:
    """By the full chain of one person: a run, a session, and another run where other contacts were chosen."""
    result = run(case, check_field=False)
    changed, sessions = programmed(result)
    second: Result = result if changed == case else run(changed, check_field=False)
    return [_spot(session, reach) for session, reach in zip(sessions, reaches(second), strict=True)]


def to_text(spots: Sequence[Spot]) -> str:
    """As JSON."""
    return json.dumps([asdict(one) for one in spots])


def from_text(text: str) -> Spots:
    """As ``to_text`` wrote them."""
    return tuple(Spot(Reach(**one.pop("reach")), **one) for one in json.loads(text))
