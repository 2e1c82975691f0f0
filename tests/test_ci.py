"""What CI runs beside the tests: the audit of dependencies, by a stand-in for the tool; and the order of the files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from order import FIRST

ROOT = Path(__file__).parents[1]


def audit(tmp_path: Path, script: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    tool = tmp_path / "pip-audit"
    tool.write_text(f'#!/usr/bin/env bash\necho "$@" >"{tmp_path}/arguments"\n{script}\n')
    tool.chmod(0o755)
    return subprocess.run([ROOT / ".ci" / "audit"], env=os.environ | {"PIP_AUDIT": str(tool), "AUDIT_SECONDS": str(seconds)}, capture_output=True,
                          text=True, timeout=90, check=False)


def answer(*rows: dict[str, object]) -> str:
    return f"cat <<'JSON'\n{json.dumps({'dependencies': rows, 'fixes': []})}\nJSON"


GOOD, BAD = {"name": "numpy", "version": "2.3.4", "vulns": []}, {"name": "zarr", "version": "3.0.0", "vulns": [
    {"id": "PYSEC-2026-1", "fix_versions": ["3.0.1", "3.1"], "aliases": [], "description": "x"}, {"id": "GHSA-x", "fix_versions": []}]}


def test_no_known_weakness(tmp_path: Path) -> None:
    done = audit(tmp_path, answer(GOOD, {"name": "own", "skip_reason": "not found"}))
    assert (done.returncode, done.stdout.splitlines()) == (0, ["dependency audit: not looked at: own",
                                                               "dependency audit: no known weakness of 1 packages"])
    asked = (tmp_path / "arguments").read_text().split()
    assert asked[:2] == ["--requirement", "constraints.txt"]
    assert asked[-2:] == ["--format", "json"]


def test_a_known_weakness_fails(tmp_path: Path) -> None:
    done = audit(tmp_path, answer(GOOD, BAD) + "\necho 'Found 2 known vulnerabilities in 1 package' >&2\nexit 1")
    assert (done.returncode, done.stdout.splitlines()) == (1, [
        "dependency audit: zarr 3.0.0: PYSEC-2026-1, mended in 3.0.1, 3.1", "dependency audit: zarr 3.0.0: GHSA-x, mended in no version"])


@pytest.mark.parametrize(("script", "seconds"), [
    ("echo 'ConnectionError: Max retries exceeded' >&2; exit 1", 60), ("exec sleep 60", 0.5), ("echo '{\"dependencies\": [{'; exit 1", 60),
    (answer({"name": "zarr", "skip_reason": "not found"}), 60)], ids=["no connection", "no answer in time", "half an answer",
                                                                               "a mirror without advisories"])
def test_without_a_service_one_line_says_so_and_ci_goes_on(tmp_path: Path, script: str, seconds: float) -> None:
    done = audit(tmp_path, script, seconds)
    assert (done.returncode, done.stdout, done.stderr) == (0, "dependency audit: no service reachable, not done\n", "")


def test_a_tool_that_does_not_understand_is_no_missing_service(tmp_path: Path) -> None:
    done = audit(tmp_path, "echo 'unrecognized arguments: --format' >&2; exit 2")
    assert done.returncode == 1
    assert "unrecognized arguments" in done.stdout


def test_ci_fails_by_what_the_audit_found() -> None:
    """The last lines of the script, with stand-ins for the tests and the audit."""
    text = (ROOT / ".ci" / "run").read_text()
    part = text[text.index(".ci/audit >"):].replace(".ci/audit", "audited_here").replace("make test EXTRAS=test,peers", "tested_here")
    for tests, found, status in ((0, 0, 0), (0, 1, 1), (2, 0, 2), (2, 1, 2)):
        stands = (f"set -euo pipefail\nlog=$(mktemp) audit=$(mktemp)\ntrap 'rm -f \"$log\" \"$audit\"' EXIT\nsleep 0 & warm=$!\n"
                  f"audited_here() {{ echo 'said by the audit'; return {found}; }}\ntested_here() {{ echo '12 passed'; return {tests}; }}\n")
        done = subprocess.run(["bash", "-c", stands + part], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.splitlines()) == (status, ["12 passed", "said by the audit"]), done.stderr


def test_files_that_go_first_are_there() -> None:
    assert len(set(FIRST)) == len(FIRST)
    for name in FIRST:
        assert (ROOT / "tests" / name).is_file(), name
