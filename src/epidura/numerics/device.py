"""Graphics processors: where the kernels of ``cable.cu`` and ``modes.cu`` run.

They are compiled when they are first used, through CuPy: the extra ``epidura[cuda]``. A device is whatever has the methods of
``Device``: the tests put the host in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Program:
    """A file of kernels and how it is compiled and run.

    Attributes:
        source: the file.
        threads: of a block.
        options: of the compiler.
    """

    source: Path
    threads: int
    options: tuple[str, ...]


class Device(Protocol):
    """Where the kernels run. An array is what ``put`` or ``room`` returned."""

    def put(self, values: NDArray[Any]) -> Any:
        """A copy there."""

    def room(self, shape: tuple[int, ...], precision: str) -> Any:
        """An array there whose values nobody has set."""

    def address(self, array: Any) -> int:
        """Of its first value."""

    def get(self, array: Any) -> NDArray[Any]:
        """A copy here, after all kernels before it are done."""

    def free(self) -> int:
        """Bytes that may still be taken."""

    def launch(self, program: Program, kernel: str, given: NDArray[np.void], count: int) -> None:
        """Run a kernel of a program in ``count`` blocks; ``given`` holds its one argument, a structure that goes by value."""


def available() -> str | None:
    """None if there is a graphics processor to run on, else why not."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy cannot be imported ({error}); pip install 'epidura[cuda]' brings it"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        cupy.cuda.nvrtc.getVersion()  # the compiler is a library of its own, which may be missing
    except (RuntimeError, OSError) as error:
        return f"CuPy finds no CUDA device and compiler that it can use: {error}"
    return None if count else "there is no CUDA device"


class Cupy:
    """The current CUDA device, through CuPy.

    Raises:
        RuntimeError: without a device to run on.
    """

    def __init__(self) -> None:
        reason = available()
        if reason is not None:
            raise RuntimeError(reason)
        import cupy

        self.cupy = cupy
        self.module = cache(self._module)

    def _module(self, program: Program) -> Any:
        return self.cupy.RawModule(code=program.source.read_text(encoding="utf-8"), options=("--std=c++17", *program.options))

    def put(self, values: NDArray[Any]) -> Any:
        return self.cupy.asarray(np.ascontiguousarray(values))

    def room(self, shape: tuple[int, ...], precision: str) -> Any:
        return self.cupy.empty(shape, precision)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def get(self, array: Any) -> NDArray[Any]:
        return np.asarray(self.cupy.asnumpy(array))

    def free(self) -> int:
        # what CuPy's pool holds without using it can be taken too
        return int(self.cupy.cuda.runtime.memGetInfo()[0] + self.cupy.get_default_memory_pool().free_bytes())

    def launch(self, program: Program, kernel: str, given: NDArray[np.void], count: int) -> None:
        self.module(program).get_function(kernel)((count,), (program.threads,), (given,))  # an array of one structure goes by value


@cache
def current() -> Device:
    """The current CUDA device, one for all: it keeps the compiled kernels.

    Raises:
        RuntimeError: without a device to run on.
    """
    return Cupy()
