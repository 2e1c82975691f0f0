"""Connections to the record: SQLite (one file, WAL) or PostgreSQL, and its migrations."""

from __future__ import annotations

import os
import threading
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url

from epidura.clinic.store import schema
from epidura.errors import BadInput, Failed

WRITE = "epidura_write"
"""Execution option of a connection that will write: SQLite takes the lock at the start, so that no upgrade of a read can fail."""


class BadStore(Failed):
    """The record cannot be opened, is not whole, or is of another version."""


def default_store() -> Path:
    """Where the record is if nobody says: ``$XDG_DATA_HOME/epidura/clinic.sqlite``, ``~/.local/share`` by default. The folder is its owner's."""
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    folder = (given if given.is_absolute() else Path.home() / ".local" / "share") / "epidura"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "clinic.sqlite"


def url_of(where: str | Path) -> URL:
    """The address of a record: a path is SQLite; ``postgresql://...`` goes through psycopg.

    Raises:
        BadInput: another kind of database.
    """
    if isinstance(where, Path) or "://" not in str(where):
        return URL.create("sqlite+pysqlite", database=str(where))
    url = make_url(str(where))
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername.startswith("sqlite"):
        return url
    raise BadInput("store", "no such kind of database", got=url.drivername, allowed="a path (SQLite), postgresql://...")


def connect(where: str | Path, *, key: str = "", timeout: float = 30.0) -> Engine:
    """An engine; nothing is created or migrated.

    Args:
        where: path of an SQLite file, or an address.
        key: password that encrypts an SQLite file at rest (``epidura[clinic-encrypted]``).
        timeout: s that a writer waits for the lock.
    """
    url = url_of(where)
    if url.get_backend_name() != "sqlite":
        if key:
            raise BadInput("key", "encryption at rest by a key is of SQLite; PostgreSQL's disk is encrypted by its host")
        return create_engine(url, pool_size=20, max_overflow=20, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if "\0" in key:
        raise BadInput("password", "has a character that SQLCipher ends at (NUL)")
    arguments: dict[str, Any] = {"timeout": timeout, "check_same_thread": False}
    module = _cipher() if key else None
    engine = create_engine(url, connect_args=arguments, pool_size=20, max_overflow=40, **({"module": module} if module else {}))

    @event.listens_for(engine, "connect")
    def _opened(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin and commit ourselves
        cursor = connection.cursor()
        if key:
            cursor.execute("PRAGMA cipher_log_level = NONE")  # its complaints go to stderr
            cursor.execute("PRAGMA key = '" + key.replace("'", "''") + "'")
        try:
            cursor.execute("SELECT count(*) FROM sqlite_master")
        except Exception as error:
            if "not a database" not in str(error):
                raise
            raise BadInput("password", "does not open this record" if key else "this file is no record, or it is encrypted", got=str(url.database),
                           hint="EPIDURA_CLINIC_PASSWORD, or --encrypted to be asked for it") from None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON", "secure_delete = ON",
                       f"busy_timeout = {int(1000 * timeout)}", "trusted_schema = OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    turn = threading.Lock()  # SQLite's own lock is waited for by asking again after up to 0.1 s, and who comes last may go first

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITE)
        if writes and "turn" not in connection.info and turn.acquire(timeout=timeout):
            connection.info["turn"] = turn
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    @event.listens_for(engine, "checkin")
    def _back(_: Any, kept: Any) -> None:
        if kept.info.pop("turn", None) is not None:
            turn.release()

    return engine


def _cipher() -> Any:
    try:
        import sqlcipher3
    except ImportError:
        raise BadInput("key", "encryption at rest needs SQLCipher", hint="pip install 'epidura[clinic-encrypted]'") from None
    return sqlcipher3.dbapi2


def migrate(engine: Engine) -> None:
    """Create the tables or bring them to this version, then put the triggers in place anew and check them.

    Raises:
        BadStore: a newer record than this version knows.
    """
    from alembic import command
    from alembic.util import CommandError

    with as_file(files("epidura.clinic.store") / "migrations") as folder:
        config = _config(folder)
        with engine.connect().execution_options(**{WRITE: True}) as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as failure:
                raise BadStore(f"store: the record is of a version that this one does not know: {failure}; install a newer Epidura") from None
            schema.create_triggers(connection)
            connection.commit()
    check(engine)


def _config(folder: Path) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def check(engine: Engine) -> None:
    """Refuse to work on a record that lacks tables or triggers.

    Raises:
        BadStore: says which.
    """
    with engine.connect() as connection:
        missing = sorted(set(schema.metadata.tables) - set(inspect(connection).get_table_names()))
        if missing:
            raise BadStore(f"store: this is no record, or not of this version: without {', '.join(missing)}; 'epidura clinic init' creates or "
                           "migrates one")
        broken = schema.broken_triggers(connection)
    if broken:
        raise BadStore(f"store: the triggers that keep the log append-only are missing or changed: {', '.join(broken)}; 'epidura clinic verify' "
                       "looks at the chain, 'epidura clinic init' puts them back")


def private(path: Path) -> None:
    """Only the owner reads it."""
    if os.name == "posix":
        os.chmod(path, 0o600)
