"""Keys: one per patient, wrapped by the clinic's; what is sealed under a thrown-away key is erased.

AES-256-GCM (``cryptography``). The clinic's key is a file beside the record, for its owner alone: a stolen database or backup without it
says no names.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, bindparam, delete, select

from epidura.clinic.store.schema import secret
from epidura.errors import BadInput, Failed

BYTES, NONCE = 32, 12


class Vault:
    """Seals and opens with the keys of a record.

    Args:
        key: the clinic's, 32 bytes.

    Raises:
        BadInput: a key of another length.
    """

    def __init__(self, key: bytes):
        if len(key) != BYTES:
            raise BadInput("key", "the clinic's key has another length", got=f"{len(key)} bytes", allowed=f"{BYTES} bytes")
        self._wrap = AESGCM(key)

    def seal(self, connection: Connection, patient: str, values: Mapping[str, Any]) -> str:
        """Values as text that only the patient's key opens; the first of a patient makes the key.

        Raises:
            Failed: the patient was erased.
        """
        wrapped = self.wrapped(connection, patient)
        if wrapped is None:
            wrapped = self.make(patient)
            self.keep(connection, {patient: wrapped})
        return sealed(self.unwrapped(patient, wrapped), patient, values)

    def make(self, patient: str) -> bytes:
        """A new key of a patient, wrapped; ``keep`` writes it."""
        nonce = os.urandom(NONCE)
        return nonce + self._wrap.encrypt(nonce, AESGCM.generate_key(8 * BYTES), patient.encode())

    def keep(self, connection: Connection, wrapped: Mapping[str, bytes]) -> None:
        """Write new keys: patient -> wrapped."""
        if wrapped:
            connection.execute(secret.insert(), [{"patient": patient, "wrapped": key} for patient, key in wrapped.items()])

    def wrapped(self, connection: Connection, patient: str) -> bytes | None:
        """A patient's key as it is kept; None: there is none."""
        found = connection.execute(_WRAPPED, {"whose": patient}).scalar()
        return None if found is None else bytes(found)

    def unwrapped(self, patient: str, wrapped: bytes) -> bytes:
        """A patient's key.

        Raises:
            Failed: the clinic's key is another one.
        """
        try:
            return self._wrap.decrypt(wrapped[:NONCE], wrapped[NONCE:], patient.encode())
        except InvalidTag:
            raise Failed("key: the clinic's key does not open this record; look for the key file that was made with it") from None

    def key(self, connection: Connection, patient: str) -> bytes | None:
        """The patient's key, to open much at once; None if the patient was erased."""
        wrapped = self.wrapped(connection, patient)
        return None if wrapped is None else self.unwrapped(patient, wrapped)

    def throw_away(self, connection: Connection, patient: str) -> bool:
        """Delete a patient's key; False if there was none."""
        return bool(connection.execute(delete(secret).where(secret.c.patient == patient)).rowcount)


_WRAPPED = select(secret.c.wrapped).where(secret.c.patient == bindparam("whose"))


def sealed(key: bytes, patient: str, values: Mapping[str, Any]) -> str:
    """Values as text that ``opened`` opens with the same key."""
    nonce = os.urandom(NONCE)
    plain = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plain, patient.encode())).decode()


def opened(key: bytes, patient: str, sealed: str) -> dict[str, Any]:
    """What was sealed with a patient's key."""
    raw = base64.b64decode(sealed)
    try:
        values: dict[str, Any] = json.loads(AESGCM(key).decrypt(raw[:NONCE], raw[NONCE:], patient.encode()))
    except InvalidTag:
        raise Failed("event: its sealed part was changed; 'epidura clinic verify' says where the chain breaks") from None
    return values


def read_key(path: Path) -> bytes:
    """The clinic's key from its file.

    Raises:
        BadInput: no such file, or not a key.
    """
    try:
        return base64.b64decode(path.read_text().strip(), validate=True)
    except FileNotFoundError:
        raise BadInput("key", "the clinic's key file is missing", got=str(path), hint="it was written by 'epidura clinic init'; a record without "
                       "its key keeps everything but names and notes") from None
    except ValueError:
        raise BadInput("key", "this file holds no key", got=str(path)) from None


def make_key(path: Path) -> bytes:
    """A new key in a new file that its owner alone reads.

    Raises:
        BadInput: the file exists.
    """
    key = AESGCM.generate_key(8 * BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput("key", "there is a key already, which no new one replaces", got=str(path)) from None
    with os.fdopen(handle, "w") as file:
        file.write(base64.b64encode(key).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key
