"""What can go wrong, said so that a person can mend it.

    EpiduraError
    ├── BadInput            something a person wrote is not allowed (exit code 2)
    │   ├── BadUnit         a number without its unit, or with a unit of another kind
    │   ├── BadCase         a case file: unknown key, kind, contact, balance ...
    │   ├── BadGeometry     a lead outside the canal, through the dura, through another lead
    │   └── BadTable        a data file that cannot be read
    └── Failed              the input was fine but the computation did not reach its promise

Each message is one line made of five parts: where it is, what is wrong, what was got, what is
allowed, what to do. Parts that say nothing are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EpiduraError(Exception):
    """Base of every error Epidura raises on purpose."""


class Failed(EpiduraError):
    """A computation could not keep its promise (accuracy, convergence, memory)."""


class BadInput(EpiduraError, ValueError):
    """Something that was written, passed or read is not allowed.

    Args:
        where: path of the value, such as ``programs[0].contacts.9`` or a file name.
        problem: what is wrong, a short sentence without a full stop.
        got: the value as it was written.
        allowed: what would be accepted.
        hint: what to do next.
    """

    def __init__(self, where: str, problem: str, *, got: object = None, allowed: str = "", hint: str = ""):
        self.where, self.problem, self.got, self.allowed, self.hint = where, problem, got, allowed, hint
        parts = [f"{where}: {problem}" if where else problem]
        if got is not None:
            parts.append(f"got {got!r}" if isinstance(got, str) else f"got {got}")
        if allowed:
            parts.append(f"allowed: {allowed}")
        if hint:
            parts.append(hint)
        super().__init__("; ".join(parts))

    def at(self, where: str) -> BadInput:
        """The same complaint, with ``where`` put in front of its path."""
        path = join_path(where, self.where)
        return type(self)(path, self.problem, got=self.got, allowed=self.allowed, hint=self.hint)


class BadUnit(BadInput):
    """A number without its unit, or with a unit of another kind."""


class BadCase(BadInput):
    """A case that does not describe something that can be run."""


class BadGeometry(BadInput):
    """A lead, contact or canal that cannot exist in space."""


class BadTable(BadInput):
    """A data file that is missing a column, a row or its sources."""


def join_path(front: str, back: str) -> str:
    """``programs[0]`` and ``contacts.9`` make ``programs[0].contacts.9``."""
    if not front or not back:
        return front or back
    return front + back if back.startswith("[") else f"{front}.{back}"


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint ``did you mean 'x'?`` for a mistyped name, or an empty string."""
    close = difflib.get_close_matches(word, list(names), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""
