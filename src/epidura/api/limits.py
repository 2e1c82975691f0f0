"""What a request may weigh, and how many of them one caller may send."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from epidura.api.errors import Fault

WHOLE = 2**53
"""Whole numbers beyond it are not the same in every reader of JSON (RFC 8259, section 6)."""


@dataclass(frozen=True)
class Limits:
    """Choices of this project; a page of a clinic needs far less.

    Attributes:
        body: bytes of a request.
        depth: of brackets within brackets in JSON; a program in an event has about ten.
        nodes: values in a body.
        rate, burst: requests per second of one session or address in the long run, and at once.
    """

    body: int = 1_000_000
    depth: int = 32
    nodes: int = 50_000
    rate: float = 20.0
    burst: int = 200


def checked_json(body: bytes, limits: Limits) -> None:
    """Refuse what is no JSON, or would harm who reads it: too deep, NaN, keys given twice, letters that no text holds.

    Raises:
        Fault: 400 or 413.
    """
    if _depth(body) > limits.depth:
        raise Fault(400, "body", "brackets within brackets, too deep", allowed=f"{limits.depth} levels")
    try:
        value = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as failure:  # UnicodeDecodeError is a ValueError; so is a number of thousands of digits
        words = str(failure)[:100] if isinstance(failure, json.JSONDecodeError) else "UTF-8, and numbers of a usual length"
        raise Fault(400, "body", "this is not JSON", hint=words) from None
    _walk(value, limits)


def _depth(body: bytes) -> int:
    """Deepest nesting, strings left out."""
    deepest = depth = 0
    inside = escaped = False
    for byte in body:
        if inside:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                inside = False
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _no_number(word: str) -> NoReturn:
    raise Fault(400, "body", "this is no number of JSON", got=word)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Fault(400, "body", "a key given twice", hint="keep one")
    return found


def _walk(value: Any, limits: Limits) -> None:
    todo, count = [value], 0
    while todo:
        each = todo.pop()
        count += 1
        if count > limits.nodes:
            raise Fault(413, "body", "too many values", allowed=f"{limits.nodes}")
        if isinstance(each, dict):
            todo += each.keys()
            todo += each.values()
        elif isinstance(each, list):
            todo += each
        elif isinstance(each, str):
            plain(each, "body")
        elif (isinstance(each, int) and abs(each) > WHOLE) or (isinstance(each, float) and not math.isfinite(each)):
            raise Fault(400, "body", "a number out of range", allowed=f"-{WHOLE} to {WHOLE}")


def plain(text: str, where: str) -> None:
    """Refuse what no database holds as text: NUL and half of a letter.

    Raises:
        Fault: 400.
    """
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Fault(400, where, "a letter that is none", hint="no NUL, no half of a surrogate pair")


class Rate:
    """Buckets of requests, one for each caller.

    Args:
        limits: rate and burst.
        ticks: s of a clock that nobody sets.
    """

    MOST = 10_000

    def __init__(self, limits: Limits, ticks: Callable[[], float] = time.monotonic):
        self.limits, self._ticks, self._lock = limits, ticks, threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> None:
        """One request of a caller.

        Raises:
            Fault: 429, with the seconds to wait.
        """
        now, most, rate = self._ticks(), float(self.limits.burst), self.limits.rate
        with self._lock:
            left, at = self._buckets.get(caller, (most, now))
            left = min(most, left + (now - at) * rate)
            self._buckets[caller] = (left - 1 if left >= 1 else left, now)
            if len(self._buckets) > self.MOST:  # full buckets are as good as none
                self._buckets = {key: (had, when) for key, (had, when) in self._buckets.items() if had + (now - when) * rate < most}
        if left < 1:
            raise Fault(429, "caller", "too many requests", allowed=f"{rate:g} a second", hint="wait, then try again",
                        headers={"Retry-After": str(math.ceil((1 - left) / rate))})
