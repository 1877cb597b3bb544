"""GNU OpenMP for llama.cpp where the system has none.

llama.cpp's wheel needs `libgomp.so.1`, which slim images of Debian lack. Wheels that bundle the library carry
it under a name of their own, by which the loader does not know it: a copy is given its own name back and
loaded first. `pykdtree` is installed for nothing but its copy, a quarter of a megabyte.
"""

import ctypes
import os
import sys
import sysconfig
from pathlib import Path
from typing import Final

SONAME: Final = b"libgomp.so.1"


def provide_openmp() -> None:
    """Load OpenMP, so that a library that needs it finds it. Does nothing where the system has it."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(SONAME.decode())
    except OSError:
        bundled = bundled_openmp()
        if bundled is not None:
            # In memory: where a container may write, it may seldom execute.
            with os.fdopen(os.memfd_create(bundled.name), "wb") as copy:
                copy.write(with_soname(bundled.read_bytes(), bundled.name.encode()))
                copy.flush()
                ctypes.CDLL(f"/proc/self/fd/{copy.fileno()}", mode=ctypes.RTLD_GLOBAL)


def bundled_openmp() -> Path | None:
    """The copy of the library in the installed wheel."""
    return next((Path(sysconfig.get_path("platlib")) / "pykdtree.libs").glob("libgomp-*.so*"), None)


def with_soname(library: bytes, name: bytes) -> bytes:
    """The library under its own name instead of `name`, which is as long or longer. Nothing else moves."""
    return library.replace(name + b"\0", SONAME.ljust(len(name) + 1, b"\0"))
