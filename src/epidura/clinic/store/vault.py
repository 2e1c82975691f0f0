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
from sqlalchemy import Connection, delete, select

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
        key = self._key(connection, patient, make=True)
        nonce = os.urandom(NONCE)
        plain = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plain, patient.encode())).decode()

    def key(self, connection: Connection, patient: str) -> bytes | None:
        """The patient's key, to open much at once; None if the patient was erased."""
        return self._key(connection, patient, make=False)

    def throw_away(self, connection: Connection, patient: str) -> bool:
        """Delete a patient's key; False if there was none."""
        return bool(connection.execute(delete(secret).where(secret.c.patient == patient)).rowcount)

    def _key(self, connection: Connection, patient: str, make: bool) -> Any:
        wrapped = connection.execute(select(secret.c.wrapped).where(secret.c.patient == patient)).scalar()
        if wrapped is not None:
            try:
                return self._wrap.decrypt(wrapped[:NONCE], wrapped[NONCE:], patient.encode())
            except InvalidTag:
                raise Failed("key: the clinic's key does not open this record; look for the key file that was made with it") from None
        if not make:
            return None
        key, nonce = AESGCM.generate_key(8 * BYTES), os.urandom(NONCE)
        connection.execute(secret.insert().values(patient=patient, wrapped=nonce + self._wrap.encrypt(nonce, key, patient.encode())))
        return key


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
