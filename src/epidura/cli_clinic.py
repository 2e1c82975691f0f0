"""Commands of the clinic's record: ``epidura clinic ...``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from epidura.errors import BadInput, Failed

if TYPE_CHECKING:
    from epidura.clinic.record import Record
    from epidura.clinic.store.backup import Kept

out, err = Console(), Console(stderr=True)
clinic = typer.Typer(no_args_is_help=True, add_completion=False, help="""The record of a clinic: patients from referral to explant, append-only.

The record is an SQLite file in the user's data folder, or where --store or EPIDURA_CLINIC says: a path, or postgresql://user@host/database.
Its key lies beside it, or where --key says. A password of an encrypted file comes from EPIDURA_CLINIC_PASSWORD or is asked for (--encrypted).
""")

PASSWORD, USER_PASSWORD = "EPIDURA_CLINIC_PASSWORD", "EPIDURA_USER_PASSWORD"

Store = Annotated[str, typer.Option("--store", envvar="EPIDURA_CLINIC", help="Path of the SQLite file, or postgresql://...; in the user's data "
                                    "folder if left out.", show_default=False)]
Key = Annotated[Path | None, typer.Option("--key", envvar="EPIDURA_CLINIC_KEY", help="File of the clinic's key; beside the SQLite file if left out.",
                                          show_default=False)]
Encrypted = Annotated[bool, typer.Option("--encrypted", help=f"Ask for the password of an encrypted file; {PASSWORD} is taken without asking.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")]
Actor = Annotated[str, typer.Option("--actor", help="Who does this, as it will stand in the record.")]


@clinic.command()
def init(store: Store = "", key: Key = None, encrypted: Encrypted = False) -> None:
    """Make a record, or bring one to this version and put its triggers back."""
    from epidura.clinic.record import Record, key_path

    where = _where(store)
    record = Record.create(where, key, _password(encrypted, twice=True))
    record.close()
    _say(f"record: {_shown(where)}")
    _say(f"key: {key_path(where, key)} (keep a copy elsewhere, apart from the backups: without it no name can be read)")


@clinic.command()
def verify(
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
    anchor: Annotated[Path | None, typer.Option("--anchor", help="File of lines 'number hash' noted earlier, elsewhere.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Follow the chain from the first event to the last and print the last hash, to be noted elsewhere.

    Also folds every event again and compares with the states that are kept. The exit status is 1 where something does not add up.
    """
    from epidura.clinic.store import log
    from epidura.clinic.store.engine import connect
    from epidura.clinic.store.projection import differences
    from epidura.clinic.store.schema import broken_triggers

    where = _where(store)
    _there(where)
    engine = connect(where, key=_password(encrypted))  # not Record.open: a record without triggers is looked at too
    try:
        with engine.connect() as connection:
            triggers = broken_triggers(connection)
            found = log.verify(connection, _anchors(anchor))
            differ = () if found.breaks else differences(connection)
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps({"events": found.events, "head": found.head, "breaks": found.breaks, "triggers": triggers, "projection": differ}))
    else:
        _say(f"events: {found.events}")
        _say(f"head: {found.head}")
        for number, words in found.breaks:
            _say(f"event {number}: {words}")
        for name in triggers:
            _say(f"trigger {name} is missing or changed; 'epidura clinic init' puts it back")
        for patient in differ:
            _say(f"patient {patient}: the state that is kept is not what the events add up to; 'epidura clinic rebuild' makes it anew")
        if not found.breaks:
            _say(f"anchor: {found.events} {found.head}")
    if found.breaks or triggers or differ:
        raise Failed(f"verify: {'the chain is broken' if found.breaks else 'the chain is whole, but the record is not'}")


@clinic.command()
def rebuild(store: Store = "", key: Key = None, encrypted: Encrypted = False) -> None:
    """Make the states of all patients anew from the events."""
    with _record(store, key, encrypted) as record:
        _say(f"events: {record.rebuild()}")


@clinic.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="To write; must not exist.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False, as_json: AsJson = False,
) -> None:
    """Write a backup while the record is in use, and check it. A record that is encrypted gives one with the same password."""
    from epidura.clinic.store import backup as backups

    password = _password(encrypted)
    with _record(store, key, encrypted, password) as record:
        _kept(backups.backup(record, target, password), as_json)


@clinic.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
    erased: Annotated[Path | None, typer.Option("--erased", help="List of erasures; <record>.erased beside the record if left out.",
                                                show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Make a record from a backup where none is. Who was erased since stays erased."""
    from epidura.clinic.store import backup as backups

    _kept(backups.restore(source, _where(store), key, _password(encrypted), erased), as_json)


@clinic.command("export")
def export_(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines to write; must not exist; - for standard output. With --as csv or "
                                           "parquet, a new or empty folder.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
    opened: Annotated[bool, typer.Option("--opened", help="With names and words: the file then says who the patients are.")] = False,
    as_: Annotated[str, typer.Option("--as", help="events: every event as a line of JSON, for 'import'. csv, parquet: the tables of the record "
                                     "and of the page of the clinic, without names.")] = "events",
) -> None:
    """Write every event as a line of JSON, or the clinic's tables as CSV or Parquet, for other programs."""
    from epidura.clinic.store import transfer

    if as_ not in ("events", "csv", "parquet"):
        raise BadInput("--as", "no such format", got=as_, allowed="events, csv, parquet")
    if as_ != "events":
        if opened:
            raise BadInput("--opened", "these tables have no names", hint="leave it out, or take --as events")
        sheets = import_module("epidura.clinic.sheets")
        with _record(store, key, encrypted) as record:
            for path in sheets.export(record, target, as_, record.clock().date()).values():
                _say(f"file: {path}")
        return
    with _record(store, key, encrypted) as record:
        if str(target) == "-":
            for line in transfer.lines(record, opened):
                sys.stdout.write(line + "\n")
            return
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise BadInput("target", "cannot be made", got=str(target), hint=str(error.strerror)) from None
        count = 0
        with open(handle, "w", encoding="utf-8") as file:
            for line in transfer.lines(record, opened):
                file.write(line + "\n")
                count += 1
    _say(f"events: {count}")


@clinic.command()
def research(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
    as_: Annotated[str, typer.Option("--as", help="csv or parquet.")] = "csv",
    dates: Annotated[str, typer.Option(help="shifted: those of a person by the same random days; relative: days from the implant.")] = "shifted",
    drop_small: Annotated[bool, typer.Option("--drop-small", help="Leave out people of small groups, who are known more easily.")] = False,
    mapping: Annotated[Path | None, typer.Option(help="File of pseudonyms for whoever may go back; outside the folder. If left out nobody can.",
                                                 show_default=False)] = None,
) -> None:
    """Write a pseudonymised copy for research: fields from closed lists, new pseudonyms, no true date."""
    with _record(store, key, encrypted) as record:
        made = import_module("epidura.clinic.research").export(record, target, dates=dates, format=as_, drop_small=drop_small, mapping=mapping)
    _say(f"people: {made.people}")
    for words in made.done:
        _say(words)


@clinic.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines of an export.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
) -> None:
    """Fill an empty record with the events of an export; the pathway checks each."""
    from epidura.clinic.store import transfer

    if not source.is_file():
        raise BadInput("source", "no such file", got=str(source))
    with _record(store, key, encrypted) as record, open(source, encoding="utf-8") as file:
        _say(f"events: {transfer.load(record, file)}")


@clinic.command()
def erase(
    patient: Annotated[str, typer.Argument(help="Id of the patient.", show_default=False)],
    authority: Annotated[str, typer.Option(help="On what the request rests, such as 'GDPR article 17'.", show_default=False)],
    why: Annotated[str, typer.Option(help="In words, without a name: this stays readable.", show_default=False)],
    store: Store = "", key: Key = None, encrypted: Encrypted = False, actor: Actor = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase who a patient is, for ever: the key of names and words is thrown away. What was measured stays under a pseudonym."""
    from epidura.clinic.record import pseudonym

    with _record(store, key, encrypted) as record:
        stage = record.state(patient)["stage"]
        if not yes:
            typer.confirm(f"Erase {pseudonym(patient)} (stage {stage}) for ever?", abort=True)
        record.erase(actor or _me(), patient, authority, why)
    _say(f"erased: {patient}; copy the list of erasures to where the backups are")


@clinic.command()
def user(
    login: Annotated[str, typer.Argument(help="Of somebody new; left out: who there is.", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="Of the person.")] = "",
    role: Annotated[str, typer.Option(help="physician, nurse, researcher or administrator.")] = "nurse",
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
) -> None:
    """Add somebody who logs in, or list who does. The password is asked for, or taken from EPIDURA_USER_PASSWORD."""
    people_of = import_module("epidura.clinic.people").People
    with _record(store, key, encrypted) as record:
        people = people_of(record.engine)
        if not login:
            table = Table("login", "name", "role", "active")
            for person in people.roll(limit=10_000):
                table.add_row(person.login, person.name, person.role, "yes" if person.active else "no")
            out.print(table)
            return
        password = os.environ.get(USER_PASSWORD) or _ask(f"Password of {login}", twice=True)
        added = people.add(name or login, login, role, password)
        _say(f"added: {added.login} ({added.role})")


@clinic.command()
def demo(
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
    patients: Annotated[int, typer.Option(min=60, max=100_000, help="Fictional patients.")] = 300,
    years: Annotated[int, typer.Option(min=1, max=10, help="Until today.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same patients.")] = 1,
) -> None:
    """Fill an empty record with fictional patients, from published rates."""
    from epidura.clinic.record import Record

    where = store or "epidura-demo.sqlite"
    if not store and Path(where).exists():
        raise BadInput("store", "there is a demo already", got=where, hint=f"'epidura clinic report --store {where}' shows it")
    record = Record.create(where, key, _password(encrypted, twice=True))
    try:
        if record.counts():
            raise BadInput("store", "fictional patients go into an empty record only", got=_shown(where))
        import_module("epidura.clinic.synthetic").populate(record, patients=patients, years=years, seed=seed, end=None)
        _say(f"record: {_shown(where)}")
        for stage, count in record.counts().items():
            _say(f"{count:6d}  {stage}")
    finally:
        record.close()


@clinic.command()
def report(
    target: Annotated[Path, typer.Option("--out", help="Page to write, ends with .html.")] = Path("clinic.html"),
    store: Store = "", key: Key = None, encrypted: Encrypted = False,
) -> None:
    """Write a page: who is where, who is late, outcomes beside published ones."""
    from datetime import date

    if target.suffix != ".html":
        raise BadInput("out", "a page ends with .html", got=str(target))
    views, page = import_module("epidura.clinic.views"), import_module("epidura.clinic.page")
    with _record(store, key, encrypted) as record:
        text = page.overview_page(views.overview(record, date.today()))
    target.write_text(text, encoding="utf-8")
    _say(f"page: {target}")


def _where(store: str) -> str | Path:
    from epidura.clinic.store.engine import default_store

    return store or default_store()


def _there(where: str | Path) -> None:
    from epidura.clinic.store.engine import url_of

    url = url_of(where)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise BadInput("store", "no such record", got=str(url.database), hint="'epidura clinic init' makes one")


def _shown(where: str | Path) -> str:
    from epidura.clinic.store.engine import url_of

    url = url_of(where)
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


@contextmanager
def _record(store: str, key: Path | None, encrypted: bool, password: str | None = None) -> Iterator[Record]:
    from epidura.clinic.record import Record

    where = _where(store)
    _there(where)
    record = Record.open(where, key, _password(encrypted) if password is None else password)
    try:
        yield record
    finally:
        record.close()


def _password(encrypted: bool, twice: bool = False) -> str:
    given = os.environ.get(PASSWORD, "")
    return given or (_ask("Password of the record", twice) if encrypted else "")


def _ask(words: str, twice: bool = False) -> str:
    """A password that was typed unseen; never from the command line, which others on the machine can read."""
    try:
        return str(typer.prompt(words, hide_input=True, confirmation_prompt=twice, err=True))
    except typer.Abort:
        raise BadInput("password", "none was given", hint=f"type it, or set {PASSWORD} or {USER_PASSWORD}") from None


def _anchors(path: Path | None) -> dict[int, str] | None:
    if path is None:
        return None
    noted = {}
    try:
        text = path.read_text()
    except OSError as error:
        raise BadInput("anchor", "cannot be read", got=str(path), hint=str(error.strerror)) from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.removeprefix("anchor:").split()
        if not words:
            continue
        if len(words) != 2 or not words[0].isdigit() or len(words[1]) != 64:
            raise BadInput(f"{path}:{number}", "not an anchor", got=line[:90], allowed="number of an event and its hash")
        noted[int(words[0])] = words[1]
    if not noted:
        raise BadInput("anchor", "no anchor is in it", got=str(path))
    return noted


def _kept(kept: Kept, as_json: bool) -> None:
    told: dict[str, Any] = {"file": str(kept.path), "events": kept.events, "head": kept.head, "rows": kept.rows, "erased": kept.erased}
    if as_json:
        print(json.dumps(told))
        return
    for name in ("file", "events", "head"):
        _say(f"{name}: {told[name]}")
    for patient in kept.erased:
        _say(f"erased again: {patient}")


def _me() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "command line"


def _say(words: str) -> None:
    out.print(words, markup=False, highlight=False, soft_wrap=True)
