"""What ``import epidura`` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import epidura as ep

PUBLIC = {
    "BadCase", "BadGeometry", "BadInput", "BadTable", "BadUnit", "Bundle", "Case", "Engine", "EpiduraError", "Failed", "Gate", "Injection",
    "Outlook", "Program", "Result", "Rules", "Trial", "build_canal", "excite", "point_source_thresholds", "predict", "predict_outcome", "read",
    "read_trial", "recruit", "run", "save", "solve_field", "transmit", "travelling_wave", "write",
}
HEAVY = ("numpy", "scipy", "numba", "llvmlite", "plotly", "xarray", "zarr", "pydantic", "pint", "netgen", "typer", "yaml")
SCRIPT = """
import json, sys, time
start = time.perf_counter()
import epidura
spent = time.perf_counter() - start
print(json.dumps([spent, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def fresh(script: str) -> list:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_public_names_are_these_and_all_there():
    assert set(ep.__all__) == PUBLIC
    assert len(ep.__all__) == len(PUBLIC)
    assert set(dir(ep)) >= PUBLIC
    for name in PUBLIC:
        thing = getattr(ep, name)
        assert thing.__module__.startswith("epidura.")
        assert thing.__doc__


def test_another_name_is_an_attribute_error():
    assert not hasattr(ep, "no_such_name")


def test_star_import_gives_the_public_names():
    script = "import json\nfrom epidura import *\nprint(json.dumps([n for n in dir() if not n.startswith('_')]))"
    assert set(fresh(script)) - {"json"} == PUBLIC


def test_import_is_fast_and_imports_nothing_heavy():
    runs = [fresh(SCRIPT) for _ in range(5)]
    assert min(spent for spent, _ in runs) < 0.3
    assert not set(HEAVY) & set(runs[0][1])


def test_help_does_not_load_what_computes():
    script = "import json, sys\nimport epidura.cli\nprint(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    assert not {"numpy", "scipy", "numba", "plotly", "xarray", "netgen"} & set(fresh(script))
