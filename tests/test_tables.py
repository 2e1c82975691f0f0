"""The reader of the tables: one row by the values of its columns, or what is wrong."""

from __future__ import annotations

from importlib.resources import files
from itertools import combinations

import pytest

from epidura.errors import BadTable
from epidura.tables import Table, table

NAMES = sorted(path.name.removesuffix(".csv") for path in (files("epidura") / "data").iterdir()
               if path.name.endswith(".csv") and path.name != "outcome_posterior.csv")  # draws, made by a fit: not read by this
ROWS = [{"drug": drug, "way": way, "dose": dose, "evidence": "read", "source": "s"}
        for drug, way, dose in (("a", "1", "7"), ("a", "2", "8"), ("b", "1", "x"), ("b", "1", "9"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_that_which_a_scan_finds(name: str) -> None:
    found = table(name)
    columns = list(found.rows[0])[:3]
    for some in [each for count in (1, 2, 3) for each in combinations(columns, count)]:
        for row in found.rows[:40]:
            keys = {column: row[column] for column in some}
            scan = [each for each in found.rows if all(each[column] == value for column, value in keys.items())]
            for _ in range(2):  # as it is made, and out of the index
                if len(scan) == 1:
                    assert found.row(**keys) is scan[0]
                else:
                    with pytest.raises(BadTable, match=f"{len(scan)} rows for"):
                        found.row(**keys)


def test_errors_say_how_many_rows_which_values_there_are_and_what_was_meant() -> None:
    found = Table("made", ROWS)
    assert found.row(way="2", drug="a") is found.row(drug="a", way="2") is ROWS[1]
    with pytest.raises(BadTable, match=r"data/made.csv: 2 rows for \{'drug': 'b', 'way': '1'\}; allowed: a, b"):
        found.row(drug="b", way="1")
    with pytest.raises(BadTable, match=r"0 rows for \{'drug': 'bb'\}.*did you mean 'b'"):
        found.row(drug="bb")
    with pytest.raises(KeyError, match="colour"):
        found.row(colour="red")
    with pytest.raises(BadTable, match=r"0 rows for \{'drug': \['a'\]\}"):
        found.row(drug=["a"])  # type: ignore[arg-type]  # what a case file may hold
    with pytest.raises(BadTable, match="is not a number"):
        found.number("dose", "dose", "mg", dose="x")
    assert found.number("dose", "dose", "mg", dose="9").value == 9


def test_a_row_is_not_looked_for_again() -> None:
    class Once(list[dict[str, str]]):
        walks = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            Once.walks += 1
            return super().__iter__()

    found = Table("made", Once(ROWS))
    for _ in range(100):
        assert found.row(drug="a", way="1") is ROWS[0]
    assert Once.walks == 1
