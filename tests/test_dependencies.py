"""What is installed beside Epidura: pinned, whole, and under a licence that lets anybody use it.

Known weaknesses are asked of a service by ``make audit``, where there is a network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = ROOT / "constraints.txt"
TOOLS = ("pip", "setuptools", "wheel")
"""Of the environment, not of the program."""

ALLOWED = ("MIT", "MIT-0", "MIT License", "0BSD", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSD License", "BSD license", "BSD 2-Clause License",
           "BSD 3-Clause License", "Apache-2.0", "Apache 2.0", "Apache Software License", "Apache-2.0 WITH LLVM-exception", "ISC License",
           "ISC License (ISCL)", "PSF-2.0", "Python Software Foundation License", "Zlib", "zlib/libpng", "CC0-1.0", "Unlicense", "MPL-2.0",
           "Mozilla Public License 2.0 (MPL 2.0)", "LGPL-2.1-only", "LGPL-3.0-only", "GNU Lesser General Public License v2 or later (LGPLv2+)")
"""Free of conditions on the program that uses them. The last ones have conditions on changes of the library itself, which Epidura does not change."""

READ = {"axe-playwright-python": "MIT License", "fhirpathpy": "MIT License", "fhirpy": "MIT License",
        "neuron": "Copyright (c) 2018, Michael Hines"}
"""Packages whose metadata name no licence: how the text they come with begins. NEURON's is BSD-3-Clause."""


def installed(*extras: str) -> dict[str, Distribution]:
    """What Epidura needs with these extras, and what that needs, as far as it is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    found: dict[str, Distribution] = {}
    open_ = [(Requirement(text), Requirement(text).extras) for text in own]
    while open_:
        need, wanted = open_.pop()
        if need.marker is not None and not any(need.marker.evaluate({"extra": extra}) for extra in wanted or {""}):
            continue
        name = canonicalize_name(need.name)
        if name in found or name in TOOLS:
            continue
        try:
            found[name] = distribution(need.name)
        except PackageNotFoundError:
            continue
        open_ += [(Requirement(text), need.extras) for text in found[name].requires or ()]
    return found


EVERYTHING = installed("test", "peers")


def pins() -> dict[str, str]:
    lines = (line.strip() for line in PINS.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return {canonicalize_name(name): number for name, number in (line.split("==") for line in lines)}


def licences(package: Distribution) -> list[str]:
    """What the metadata say: the expression's parts, else the classifiers, else the old field."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return re.split(r"\s+(?:AND|OR)\s+", expression.strip("()"))
    field = (about.get("License") or "").split("\n")[0].strip()
    classified = [each.split("::")[-1].strip() for each in about.get_all("Classifier") or () if each.startswith("License ::")]
    return classified or (re.split(r"\s+(?:AND|OR)\s+", field) if field else [])


def test_there_is_something_to_look_at():
    assert {"numpy", "sqlalchemy", "cryptography", "fastapi", "starlette", "pydantic-core"} <= set(EVERYTHING)


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_a_package_is_pinned_and_free(name):
    package = EVERYTHING[name]
    assert name in pins(), f"{name} {package.version} is not in constraints.txt"
    found = licences(package)
    if name in READ:
        texts = [file.read_text() for file in package.files or () if re.match(r"(?i)licen[cs]e|copying", file.name) and file.suffix != ".py"]
        assert any(text.startswith(READ[name]) for text in texts) or READ[name] in str(package.metadata.get("License")), found
        return
    assert found, f"{name} names no licence: read its text, then add it to READ"
    assert set(found) <= set(ALLOWED), f"{name}: {found}"


@pytest.mark.parametrize("words", ["GPL-3.0-only", "AGPL-3.0-or-later", "GNU General Public License v3 (GPLv3)", "Free for non-commercial use",
                                   "CC-BY-NC-4.0", "Other/Proprietary License"])
def test_what_is_not_allowed_is_not(words):
    assert words not in ALLOWED


def test_what_is_installed_fits_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
