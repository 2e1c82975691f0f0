"""The host in the place of a graphics processor: kernels compiled as C++, one thread after another."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epidura.numerics.device import Program, available


class Host:
    """A ``Device`` that runs what a C++ compiler makes of the kernels.

    Args:
        folder: for what is compiled.
        flags: of the compiler, besides those of the program.
        memory: bytes that it says are free.
    """

    def __init__(self, folder: Path, flags: tuple[str, ...] = (), memory: int = 1 << 30):
        self.folder, self.flags, self.memory = folder, flags, memory
        self.library = cache(self._library)
        self.launches: list[tuple[str, int]] = []

    def _library(self, program: Program) -> ctypes.CDLL:
        compiler = shutil.which("g++")
        assert compiler is not None
        options = (*program.options, *self.flags)
        made = self.folder / f"{program.source.stem}{'-'.join(options).replace('-D', '').replace('=', '')}.so"
        # no -march: rounding must not depend on where the test runs more than it has to
        subprocess.run([compiler, "-x", "c++", "-std=c++17", "-O2", "-shared", "-fPIC", "-DEPIDURA_HOST", *options,
                        "-o", str(made), str(program.source)], check=True)
        return ctypes.CDLL(str(made))

    def put(self, values: NDArray[Any]) -> Any:
        return np.ascontiguousarray(values).copy()

    def room(self, shape: tuple[int, ...], precision: str) -> Any:
        # what nobody has set must not be read
        return np.full(shape, np.nan, precision)

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def get(self, array: Any) -> NDArray[Any]:
        return np.asarray(array).copy()

    def free(self) -> int:
        return self.memory

    def launch(self, program: Program, kernel: str, given: NDArray[np.void], count: int) -> None:
        library = self.library(program)
        assert library.size_of_given() == given.dtype.itemsize
        self.launches.append((kernel, count))
        getattr(library, kernel)(ctypes.c_void_p(given.ctypes.data), ctypes.c_int(count))


def no_device() -> str:
    return available() or ""


WHERE = ["host", pytest.param("device", marks=pytest.mark.skipif(bool(no_device()), reason=no_device()))]


def host(folder: Path, *flags: str, memory: int = 1 << 30) -> Host:
    """A host, or a skipped test where nothing compiles."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels with")
    return Host(folder, flags, memory)
