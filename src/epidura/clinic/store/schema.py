"""Tables of the record, and the triggers that make its logs append-only.

``event`` and ``access`` are written once. Everything else can be rebuilt from ``event`` (``patient``, ``diary``) or is about people who log in.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

event = Table(
    "event", metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("patient", String(32), nullable=False, server_default=""),  # empty: an event of the clinic, not of a patient
    Column("version", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("day", String(10), nullable=False),
    Column("recorded", String(32), nullable=False),  # UTC, never before the one before it
    Column("actor", String(64), nullable=False),
    Column("request", String(80)),  # idempotency key
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("patient", "version", name="event_patient_version"),
    UniqueConstraint("request", name="event_request"),
)

head = Table(  # one row: the end of the chain; whoever appends holds it
    "head", metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("recorded", String(32), nullable=False),
)

secret = Table(  # a patient's key, wrapped by the clinic's; deleting it erases what it sealed
    "secret", metadata,
    Column("patient", String(32), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

patient = Table(  # projection
    "patient", metadata,
    Column("id", String(32), primary_key=True),
    Column("pseudonym", String(16), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("stage", String(24), nullable=False),
    Column("since", String(10), nullable=False),
    Column("indication", String(60), nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Index("patient_stage", "stage", "since"),
)

diary = Table(  # projection: the entry that counts for each day
    "diary", metadata,
    Column("patient", String(32), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("worst", Float), Column("average", Float), Column("least", Float), Column("sleep", Float), Column("activity", Float),
    Column("medication", Float), Column("stimulation_hours", Float), Column("slot", String(200)), Column("tingling", Text),
)

person = Table(  # somebody who logs in
    "person", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("login", String(200), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", String(200), nullable=False, server_default=""),  # argon2; empty: none, as with OpenID Connect
    Column("patient", String(32)),  # of the role patient: whose diary
    Column("subject", String(300), unique=True),  # of OpenID Connect: issuer and subject
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created", String(32), nullable=False),
)

session = Table(
    "session", metadata,
    Column("token", String(64), primary_key=True),  # SHA-256 of what the browser holds
    Column("person", String(32), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created", String(32), nullable=False),
    Column("seen", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
)

attempt = Table(  # failed logins, for lockout and rate limits
    "attempt", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("login", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Index("attempt_login", "login", "at"),
    Index("attempt_address", "address", "at"),
)

link = Table(  # one-time links to a diary
    "link", metadata,
    Column("token", String(64), primary_key=True),  # SHA-256
    Column("patient", String(32), nullable=False, index=True),
    Column("person", String(32), nullable=False),  # who made it
    Column("created", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
    Column("used", String(32)),
)

access = Table(  # who looked at what
    "access", metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("person", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("route", String(200), nullable=False),
    Column("patient", String(32), nullable=False, server_default=""),
    Column("status", Integer, nullable=False),
    Index("access_patient", "patient", "id"),
)

PROJECTIONS = (patient, diary)
LOGS = (event, access)

_MESSAGE = "the log is append-only"


def triggers(dialect: str) -> dict[str, str]:
    """Name -> SQL of the triggers that a record must have.

    SQLite's REPLACE deletes without firing triggers of deletion, so an insertion is watched too: the next event has the next number, and
    nobody's version comes twice.
    """
    if dialect == "sqlite":
        made = {}
        for log in LOGS:
            for deed in ("UPDATE", "DELETE"):
                name = f"{log.name}_no_{deed.lower()}"
                made[name] = f"CREATE TRIGGER {name} BEFORE {deed} ON {log.name} BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
        made["event_in_order"] = (
            "CREATE TRIGGER event_in_order BEFORE INSERT ON event WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event) "
            "OR EXISTS (SELECT 1 FROM event WHERE patient = NEW.patient AND version = NEW.version) "
            "OR EXISTS (SELECT 1 FROM event WHERE request = NEW.request) "
            f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}: an event with this number, version or request is there'); END")
        made["access_in_order"] = (
            "CREATE TRIGGER access_in_order BEFORE INSERT ON access WHEN EXISTS (SELECT 1 FROM access WHERE id = NEW.id) "
            f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END")
        return made
    made = {}
    for log in LOGS:
        made[f"{log.name}_no_change"] = (f"CREATE TRIGGER {log.name}_no_change BEFORE UPDATE OR DELETE ON {log.name} "
                                         "FOR EACH ROW EXECUTE FUNCTION epidura_append_only()")
        made[f"{log.name}_no_truncate"] = (f"CREATE TRIGGER {log.name}_no_truncate BEFORE TRUNCATE ON {log.name} "
                                           "FOR EACH STATEMENT EXECUTE FUNCTION epidura_append_only()")
    made["event_in_order"] = "CREATE TRIGGER event_in_order BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION epidura_in_order()"
    return made


_FUNCTIONS = {
    "epidura_append_only": f"BEGIN RAISE EXCEPTION '{_MESSAGE}'; END",
    "epidura_in_order": ("BEGIN IF NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM event) THEN "
                         f"RAISE EXCEPTION '{_MESSAGE}: an event with this number is there'; END IF; RETURN NEW; END")}


def create_triggers(connection: Connection) -> None:
    """Put the triggers in place, anew."""
    dialect = connection.dialect.name
    if dialect != "sqlite":
        for name, body in _FUNCTIONS.items():
            connection.exec_driver_sql(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    for name, sql in triggers(dialect).items():
        on = "" if dialect == "sqlite" else f" ON {name.split('_')[0]}"
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{on}")
        connection.exec_driver_sql(sql)


def broken_triggers(connection: Connection) -> list[str]:
    """Names of triggers that are missing, disabled or not what they should be."""
    expected = triggers(connection.dialect.name)
    if connection.dialect.name == "sqlite":
        found = {str(row[0]): row[1] for row in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")}
        return sorted(name for name, sql in expected.items() if found.get(name) != sql)
    rows = connection.exec_driver_sql(
        "SELECT t.tgname, t.tgenabled, p.prosrc, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE NOT t.tgisinternal AND n.nspname = current_schema()")
    there = {str(name): (enabled.decode() if isinstance(enabled, bytes) else str(enabled), str(source), str(definition))
             for name, enabled, source, definition in rows}
    wrong = []
    for name, sql in expected.items():
        function = sql.rsplit(" ", 1)[1].removesuffix("()")
        enabled, source, definition = there.get(name, ("", "", ""))
        deeds = ("UPDATE", "DELETE") if name.endswith("_no_change") else ("TRUNCATE",) if name.endswith("_no_truncate") else ("INSERT",)
        if (enabled not in ("O", "A") or source.strip() != _FUNCTIONS[function] or " WHEN " in definition or "BEFORE" not in definition
                or any(deed not in definition for deed in deeds)):
            wrong.append(name)
    return sorted(wrong)
