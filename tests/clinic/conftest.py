"""A record on SQLite and one on PostgreSQL: what asks for ``record`` or ``place`` runs on both.

PostgreSQL is that of ``EPIDURA_TEST_POSTGRES``, an address; ``.ci/postgres start FOLDER`` starts one and prints it. Each test has its
own schema.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_clinic import Clinic
from clinic_course import Place

from epidura.clinic.record import Record

POSTGRES = "EPIDURA_TEST_POSTGRES"


@pytest.fixture
def postgres() -> Iterator[Callable[[], str]]:
    """Makes addresses of empty schemas, which are dropped after the test."""
    address = os.environ.get(POSTGRES)
    if not address:
        pytest.skip(f"no PostgreSQL: {POSTGRES} is not set; .ci/postgres starts one")
    import psycopg

    made: list[str] = []

    def schema() -> str:
        made.append(f"test_{secrets.token_hex(8)}")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE SCHEMA "{made[-1]}"')
        return f"{address}{'&' if '?' in address else '?'}options=-csearch_path%3D{made[-1]}"

    yield schema
    with psycopg.connect(address, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a record may be made, on each database."""
    where = str(tmp_path / "clinic.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres")()
    return Place(where, tmp_path / "clinic.key")


@pytest.fixture
def either(place: Place, tmp_path: Path) -> Iterator[Clinic]:
    """A clinic behind its REST interface, on each database."""
    made = Clinic(tmp_path, where="" if place.sqlite else place.where)
    yield made
    made.record.close()


@pytest.fixture
def record(place: Place) -> Iterator[Record]:
    """A new record, on each database."""
    made = place.create()
    yield made
    made.close()
