"""The clinic's table of drugs on clotting, as a file that only grows.

Each line is one deed of a person (a row filled, a row signed) and has the hash of the line before it: what was signed stays readable as it was.
The file stands beside the record; what it adds up to is ``procedure.AnticoagulantTable``.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any

from epidura.clinic.procedure import AnticoagulantTable, Hold, RowSignature, shipped
from epidura.clinic.store.engine import BadStore
from epidura.errors import BadInput
from epidura.recipe import read_recipe

START = "0" * 64


class Holds:
    """The table in a file.

    Args:
        path: of it; made with the first row.
    """

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.Lock()

    def table(self) -> AnticoagulantTable:
        """As it stands.

        Raises:
            BadStore: a line was changed, taken out or put in.
        """
        return self._read()[0]

    def fill(self, hold: Hold, actor: str, at: str) -> AnticoagulantTable:
        """Fill a drug's row, or fill it anew; it then needs a new signature.

        Args:
            hold: what stands in the row.
            actor, at: who and when.
        """
        with self._lock, self._alone() as file:
            table, last = self._read()
            changed = table.fill(hold)
            self._append(file, last, {"deed": "filled", "actor": actor, "at": at, "hold": hold.model_dump(mode="json")})
        return changed

    def sign(self, drug: str, actor: str, at: str, *, name: str, role: str, registration: str, on: date, review_by: date,
             row: str) -> AnticoagulantTable:
        """Sign a row as it stands.

        Args:
            row: ``Hold.key()`` of what the person has read.

        Raises:
            BadInput: the row is empty, or is not what was read.
        """
        with self._lock, self._alone() as file:
            table, last = self._read()
            held = table.row(drug)
            if held is not None and held.key() != row:
                raise BadInput("row", "the row was changed after it was read", got=row, allowed=held.key(), hint="read it again, then sign")
            changed = table.sign(drug, name=name, role=role, registration=registration, on=on, review_by=review_by)
            self._append(file, last, {"deed": "signed", "actor": actor, "at": at, "signature": changed.signatures[-1].model_dump(mode="json")})
        return changed

    def _read(self) -> tuple[AnticoagulantTable, str]:
        if not self.path.exists():
            return shipped(), START
        rows: dict[str, Hold] = {}
        signatures: list[RowSignature] = []
        last = START
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            try:
                entry = json.loads(line)
                if entry["previous"] != last:
                    raise BadStore(f"{self.path.name}: line {number} does not follow the one before it; the file was changed")
                if entry["deed"] == "filled":
                    hold: Hold = read_recipe(Hold, entry["hold"])
                    rows.pop(hold.drug, None)
                    rows[hold.drug] = hold
                else:
                    signatures.append(read_recipe(RowSignature, entry["signature"]))
            except (ValueError, KeyError, TypeError) as failure:
                raise BadStore(f"{self.path.name}: line {number} cannot be read: {failure}") from None
            last = hashlib.sha256(line).hexdigest()
        return AnticoagulantTable(rows=tuple(rows.values()), signatures=tuple(signatures)), last

    @contextmanager
    def _alone(self) -> Iterator[IO[bytes]]:
        """The file at its end, for one process at a time."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            if os.name == "posix":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    @staticmethod
    def _append(file: IO[bytes], last: str, entry: dict[str, Any]) -> None:
        file.write(json.dumps({"previous": last, **entry}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
