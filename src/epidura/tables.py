"""The only reader of the numbers from the world in ``data/*.csv``.

Each row carries its source and how sure we are (``evidence``: read, computed, recall, judgement).
A value taken through ``Table.number`` comes back as a ``Number`` that keeps both, so that a result
can say which unverified numbers decided it and ``cite`` can print what was used.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from epidura.errors import BadTable, nearest

EVIDENCE = ("read", "computed", "recall", "judgement")
UNVERIFIED = ("recall", "judgement")


@dataclass(frozen=True)
class Number:
    """One number from the world.

    Attributes:
        name: what it is, such as ``dorsal CSF thickness at T9``.
        value: as written in the table, in ``unit``.
        unit: as written in the table.
        evidence: read, computed, recall or judgement.
        source: paper, data set or manual.
        doi: DOI or address of the source, may be empty.
        table: file it came from.
    """

    name: str
    value: float
    unit: str
    evidence: str
    source: str
    doi: str
    table: str

    @property
    def unverified(self) -> bool:
        return self.evidence in UNVERIFIED


class Table:
    """The rows of one CSV file, looked up by the values of key columns."""

    def __init__(self, name: str, rows: list[dict[str, str]]):
        self.name, self.rows = name, rows
        self._places: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, str] | None]] = {}

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(self.rows)

    def row(self, **keys: str) -> dict[str, str]:
        """The one row whose columns have these values.

        Raises:
            BadTable: no such row, or more than one.
        """
        columns = tuple(keys)
        if columns not in self._places:
            self._places[columns] = self._index(columns)
        one = self._places[columns].get(tuple(keys.values())) if all(isinstance(value, str) for value in keys.values()) else None
        if one is not None:
            return one
        found = [row for row in self.rows if all(row[column] == value for column, value in keys.items())]
        if len(found) != 1:
            column, value = next(iter(keys.items()))
            known = sorted({row[column] for row in self.rows})
            raise BadTable(f"data/{self.name}.csv", f"{len(found)} rows for {keys}", allowed=", ".join(known),
                           hint=nearest(value, known))
        return found[0]

    def _index(self, columns: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, str] | None]:
        """The row of each combination of values of these columns; None where several have it. A table is read once and does not change."""
        found: dict[tuple[str, ...], dict[str, str] | None] = {}
        for row in self.rows:
            values = tuple(row[column] for column in columns)
            found[values] = None if values in found else row
        return found

    def column(self, name: str) -> list[str]:
        """All values of one column."""
        return [row[name] for row in self.rows]

    def number(self, name: str, column: str, unit: str, evidence_column: str = "evidence", **keys: str) -> Number:
        """One cell as a ``Number``; ``evidence_column`` says where its own evidence stands."""
        row = self.row(**keys)
        try:
            value = float(row[column])
        except ValueError:
            raise BadTable(f"data/{self.name}.csv", f"column {column} of {keys} is not a number",
                           got=row[column]) from None
        evidence = (row.get(evidence_column) or row["evidence"]).split(" ")[0]
        if evidence not in EVIDENCE:
            raise BadTable(f"data/{self.name}.csv", f"evidence of {keys}", got=evidence, allowed=", ".join(EVIDENCE))
        return Number(name, value, unit, evidence, row["source"], row.get("doi_or_url", ""), f"{self.name}.csv")


@cache
def table(name: str) -> Table:
    """The table ``data/<name>.csv``, read once.

    Raises:
        BadTable: no such file, an empty file, or a file without evidence and source columns.
    """
    path = files("epidura") / "data" / f"{name}.csv"
    if not path.is_file():
        names = sorted(p.name.removesuffix(".csv") for p in (files("epidura") / "data").iterdir())
        raise BadTable(f"data/{name}.csv", "no such table", allowed=", ".join(names), hint=nearest(name, names))
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"evidence", "source"} - set(rows[0] if rows else ())
    if missing:
        raise BadTable(f"data/{name}.csv", "a table without its sources", allowed=f"columns {', '.join(sorted(missing))}")
    return Table(name, rows)
