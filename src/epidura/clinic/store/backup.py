"""Backups: one file for both databases, written while the record is in use, checked after writing, restored into either database.

A backup is gzip of JSON lines: what it is, then every row of the events, wrapped keys, people and accesses, then what it must add up to
(rows, the chain's last hash, SHA-256 of all lines before). Sessions, links and failed logins are not in it; projections are made anew. The
clinic's key is not in it either: keep that file elsewhere. A backup of a record that is encrypted at rest is encrypted with the same password
(scrypt, AES-256-GCM).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy import Connection, Engine, LargeBinary, Table, inspect, select, update

from epidura.clinic import events
from epidura.clinic.record import Record, erasures_path, key_path, note_erasure
from epidura.clinic.store import log, schema
from epidura.clinic.store.engine import WRITE, connect, migrate, private, url_of
from epidura.clinic.store.log import Stored, Verified, follow
from epidura.clinic.store.projection import rebuild
from epidura.clinic.store.vault import Vault, read_key
from epidura.errors import BadInput, EpiduraError, Failed

FORMAT, VERSION = "epidura record", 1
TABLES = (schema.event, schema.secret, schema.person, schema.access)
"""What is kept, in the order of the file."""
CHUNK = 5000
"""Rows that are inserted at once."""
BLOCK = 1 << 20
"""Bytes that are encrypted at once."""
MAGIC = b"EPIDURA1"
SCRYPT = {"n": 2**15, "r": 8, "p": 1}
"""RFC 7914's example of 2^14 for logins, doubled; 32 MiB."""


class BadBackup(Failed):
    """A backup that is damaged, cut off, of a newer version, or locked with another password."""


@dataclass(frozen=True)
class Kept:
    """What a backup holds.

    Attributes:
        path: of the file.
        events, head: length of the chain and its last hash.
        rows: table -> rows.
        erased: after a restore, patients whose keys the list of erasures threw away again.
    """

    path: Path
    events: int
    head: str
    rows: dict[str, int]
    erased: tuple[str, ...] = ()


def backup(record: Record, target: Path, password: str = "") -> Kept:
    """Write a backup of the record as it is at one moment, while others go on writing, and check it.

    Args:
        target: file, which must not exist; written under another name and renamed when it was checked.
        password: encrypts it.

    Raises:
        BadInput: the file exists, or its folder does not.
        BadBackup: what was written is not what was read.
    """
    target = Path(target)
    if target.exists():
        raise BadInput("target", "there is such a file, which no backup replaces", got=str(target))
    if not target.parent.is_dir():
        raise BadInput("target", "no such folder", got=str(target.parent), hint="make it first")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with _writing(file, password) as stream, _snapshot(record.engine) as connection:
                _write(connection, stream, record.clock())
            file.flush()
            os.fsync(file.fileno())
        kept = look(draft, password)
        os.rename(draft, target)
        _sync_folder(target.parent)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return Kept(target, kept.events, kept.head, kept.rows)


def look(source: Path, password: str = "") -> Kept:
    """Read a whole backup and check it: every byte, every row, the chain.

    Raises:
        BadBackup: says what is wrong.
    """
    try:
        reader = _Reader(source, password)
        found = follow(Stored(*row) for row in reader.of(schema.event))
        for _ in reader.rest():
            pass
        kept = reader.end
    except (TypeError, KeyError, IndexError, AttributeError):  # gzip's own sum comes after what was changed
        raise BadBackup(f"{source}: is damaged, a line is not what it should be") from None
    if found.breaks:
        number, words = found.breaks[0]
        raise BadBackup(f"{source}: the chain breaks at event {number}: it {words}")
    if (found.events, found.head) != (kept["events"], kept["head"]):
        raise BadBackup(f"{source}: the chain does not end where the backup says")
    return Kept(Path(source), found.events, found.head, kept["rows"])


def restore(source: Path, where: str | Path, key_file: Path | None = None, password: str = "", erased: Path | None = None,
            clock: Callable[[], datetime] = events.now) -> Kept:
    """Make a record from a backup. Patients on the list of erasures lose their keys again, as an event of the restored record.

    Args:
        source: the backup; checked first.
        where: of the new record; nothing there is overwritten.
        key_file: of the clinic's key, as the record had it; None: beside the SQLite file.
        password: of the backup if it is encrypted; encrypts the new record too.
        erased: list of erasures; None: the one beside ``where`` if there is one.

    Raises:
        BadInput: something is there already, or the key is missing.
        BadBackup: the backup is not whole.
        Failed: the key is another record's.
    """
    path = key_path(where, key_file)
    vault = Vault(read_key(path))
    kept = look(source, password)
    url = url_of(where)
    erasures = erasures_path(where, path)
    listed = _listed(erased or erasures, must=erased is not None)
    if url.get_backend_name() != "sqlite":
        engine = connect(where)
        try:
            with engine.connect() as connection:
                if any(inspect(connection).has_table(table.name) and connection.execute(select(table).limit(1)).first() for table in TABLES):
                    raise BadInput("where", "there is a record, which no backup replaces", got=url.render_as_string(), hint="make an empty database")
            migrate(engine)
            return _fill(engine, source, password, vault, clock, erasures, listed, kept)
        finally:
            engine.dispose()
    target = Path(str(url.database))
    for there in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal"))):
        if there.exists():  # an old -wal would be played into the new file
            raise BadInput("where", "there is such a file, which no backup replaces", got=str(there), hint="move it away first")
    if not target.parent.is_dir():
        raise BadInput("where", "no such folder", got=str(target.parent), hint="make it first")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.touch(mode=0o600)
        private(draft)
        engine = connect(draft, key=password)
        try:
            migrate(engine)
            done = _fill(engine, source, password, vault, clock, erasures, listed, kept)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            engine.dispose()
        os.rename(draft, target)
        _sync_folder(target.parent)
    finally:
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                draft.with_name(draft.name + end).unlink()
    return done


def _fill(engine: Engine, source: Path, password: str, vault: Vault, clock: Callable[[], datetime], erasures: Path, listed: list[str],
          kept: Kept) -> Kept:
    """Rows into an empty record; then the chain is followed, projections are made, erasures done again."""
    reader = _Reader(source, password)
    with engine.execution_options(**{WRITE: True}).begin() as connection:
        for table in TABLES:
            names = reader.columns[table.name]
            rows = reader.of(table)
            while batch := list(islice(rows, CHUNK)):
                connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in batch])
        for _ in reader.rest():
            pass
        last = connection.execute(select(schema.event.c.seq, schema.event.c.hash, schema.event.c.recorded)
                                  .order_by(schema.event.c.seq.desc()).limit(1)).first()
        if last is not None:
            connection.execute(update(schema.head).where(schema.head.c.id == 1).values(seq=last.seq, hash=last.hash, recorded=last.recorded))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence('access', 'id'), coalesce(max(id), 0) + 1, false) FROM access")
        rebuild(connection)
        _same(log.verify(connection), kept)
        somebody = connection.execute(select(schema.secret.c.patient).limit(1)).scalar()
        if somebody is not None:
            vault.key(connection, somebody)  # says so if the clinic's key is another one
    record, again = Record(engine, vault, clock, erasures), []
    with engine.connect() as connection:
        states = {row.id: row.state for row in connection.execute(select(schema.patient.c.id, schema.patient.c.state))} if listed else {}
    noted = set(_listed(erasures))
    for patient in dict.fromkeys(listed):
        if patient in states and not json.loads(states[patient]).get("erased"):
            record.erase("restore", patient, "list of erasures", "was erased after this backup was made")
            again.append(patient)
        elif patient not in noted:
            note_erasure(erasures, patient)
    with engine.connect() as connection:
        chain = log.verify(connection)
    return Kept(kept.path, chain.events, chain.head, kept.rows, tuple(again))


def _same(chain: Verified, kept: Kept) -> None:
    if chain.breaks or (chain.events, chain.head) != (kept.events, kept.head):
        raise Failed(f"restore: the restored chain is not that of the backup: {chain.breaks[:1] or chain.events}")


def _listed(path: Path, must: bool = False) -> list[str]:
    """Patients on a list of erasures."""
    if not path.exists():
        if must:
            raise BadInput("erased", "no such file", got=str(path))
        return []
    return path.read_text().split()


# the file

def _snapshot(engine: Engine) -> Any:
    """A transaction that sees the record as it was at its start: every row belongs to the same moment."""
    if engine.dialect.name == "sqlite":
        return engine.begin()
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True).begin()


def _write(connection: Connection, stream: gzip.GzipFile, moment: datetime) -> None:
    sums = hashlib.sha256()

    def line(value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        sums.update(text)
        stream.write(text)

    line({"format": FORMAT, "version": VERSION, "made": log.stamp(moment),
          "columns": {table.name: [column.name for column in table.c] for table in TABLES}})
    rows, end, events = {}, log.START, 0
    for table in TABLES:
        order = table.primary_key.columns.values()
        count = 0
        with connection.execute(select(table).order_by(*order), execution_options={"yield_per": CHUNK}) as found:
            for row in found:
                line([table.name, *(base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in row)])
                count += 1
                if table is schema.event:
                    end, events = row.hash, row.seq
        rows[table.name] = count
    stream.write(json.dumps({"events": events, "head": end, "rows": rows, "sha256": sums.hexdigest()}).encode() + b"\n")


class _Reader:
    """The lines of a backup, table by table; ``end`` once everything was read and adds up.

    Raises:
        BadBackup: it does not, or is no backup that this version knows.
    """

    def __init__(self, source: Path, password: str):
        self.source, self.end = Path(source), dict[str, Any]()
        self._sums, self._counts = hashlib.sha256(), dict.fromkeys((table.name for table in TABLES), 0)
        self._lines = self._read(password)
        first = self._step()
        if not isinstance(first, dict) or first.get("format") != FORMAT:
            raise BadBackup(f"{source}: this is no backup of a record")
        if first["version"] > VERSION:
            raise BadBackup(f"{source}: a backup of version {first['version']}, newer than this Epidura knows ({VERSION}); install a newer one")
        self.columns: dict[str, list[str]] = first["columns"]
        unknown = {f"{name}.{column}" for name, columns in self.columns.items() for column in columns
                   if name not in schema.metadata.tables or column not in schema.metadata.tables[name].c}
        if unknown:
            raise BadBackup(f"{source}: has what this Epidura does not know: {', '.join(sorted(unknown))}; install a newer one")
        self._next: Any = self._step()

    def of(self, table: Table) -> Iterator[list[Any]]:
        """Rows of a table, which is the next in the file."""
        raw = [index for index, name in enumerate(self.columns[table.name]) if isinstance(table.c[name].type, LargeBinary)]
        while isinstance(self._next, list) and self._next[0] == table.name:
            row = self._next[1:]
            for index in raw:
                row[index] = base64.b64decode(row[index])
            self._counts[table.name] += 1
            yield row
            self._next = self._step()

    def rest(self) -> Iterator[None]:
        """What is left, unread, to the end."""
        while not self.end:
            if isinstance(self._next, dict):
                self._finish(self._next)
            else:
                self._counts[self._next[0]] = self._counts.get(self._next[0], 0) + 1
                self._next = self._step()
            yield

    def _step(self) -> Any:
        try:
            return next(self._lines)
        except StopIteration:
            raise BadBackup(f"{self.source}: is cut off") from None

    def _finish(self, end: dict[str, Any]) -> None:
        if end.get("sha256") != self._before or end.get("rows") != self._counts:
            raise BadBackup(f"{self.source}: does not add up to what its end says; it was changed")
        if next(self._lines, None) is not None:
            raise BadBackup(f"{self.source}: goes on after its end")
        self.end = end

    def _read(self, password: str) -> Iterator[Any]:
        try:
            with open(self.source, "rb") as file, _reading(file, password, self.source) as stream:
                for text in stream:
                    self._before = self._sums.hexdigest() if text.startswith(b"{") else ""
                    self._sums.update(text)
                    yield json.loads(text)
        except FileNotFoundError:
            raise BadInput("source", "no such file", got=str(self.source)) from None
        except EpiduraError:
            raise
        except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
            raise BadBackup(f"{self.source}: cannot be read, it is damaged or cut off ({error})") from None


def _writing(file: BinaryIO, password: str) -> gzip.GzipFile:
    if not password:
        return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0)
    return _Both(_Locking(file, password))


class _Both(gzip.GzipFile):
    """gzip into the cipher, which is closed with it."""

    def __init__(self, under: _Locking):
        super().__init__(fileobj=under, mode="wb", compresslevel=1, mtime=0)
        self.under = under

    def close(self) -> None:
        super().close()
        self.under.close()


class _Locking(io.RawIOBase):
    """Encrypts what is written in numbered blocks, so that none can be left out, moved or cut off unseen."""

    def __init__(self, file: BinaryIO, password: str):
        salt = os.urandom(16)
        self._file, self._cipher, self._number, self._held, self._done = file, _cipher(password, salt), 0, bytearray(), False
        file.write(MAGIC + salt)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        while len(self._held) > BLOCK:
            self._block(bytes(self._held[:BLOCK]), last=False)
            del self._held[:BLOCK]
        return len(data)

    def _block(self, plain: bytes, last: bool) -> None:
        nonce = struct.pack(">IQ", int(last), self._number)  # the salt makes a key of its own for each file
        sealed = self._cipher.encrypt(nonce, plain, None)
        self._file.write(struct.pack(">I?", len(sealed), last) + sealed)
        self._number += 1

    def close(self) -> None:
        if not self._done:
            self._done = True
            self._block(bytes(self._held), last=True)
        super().close()


def _cipher(password: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, **SCRYPT).derive(password.encode()))


def _reading(file: BinaryIO, password: str, source: Path) -> gzip.GzipFile:
    head = file.read(len(MAGIC))
    if head != MAGIC:
        if head[:2] != b"\x1f\x8b":
            raise BadBackup(f"{source}: this is no backup of a record")
        file.seek(0)
        return gzip.GzipFile(fileobj=file)
    if not password:
        raise BadInput("password", "this backup is encrypted", got=str(source), hint="EPIDURA_CLINIC_PASSWORD, or --encrypted to be asked for it")
    return gzip.GzipFile(fileobj=io.BufferedReader(_Unlocking(_unlocked(file, password, source))))


class _Unlocking(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]):
        self._blocks, self._held = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._held:
            self._held = next(self._blocks, b"")
        part, self._held = self._held[:len(into)], self._held[len(into):]
        into[:len(part)] = part
        return len(part)


def _unlocked(file: BinaryIO, password: str, source: Path) -> Iterator[bytes]:
    cipher = _cipher(password, file.read(16))
    number, last = 0, False
    while not last:
        size, last = struct.unpack(">I?", file.read(5))
        try:
            yield cipher.decrypt(struct.pack(">IQ", int(last), number), file.read(size), None)
        except InvalidTag:
            raise BadBackup(f"{source}: the password is another one, or the file was changed") from None
        number += 1


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk too."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
