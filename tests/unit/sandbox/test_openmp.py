import ctypes
import sys
from pathlib import Path

from sandbox.engines.openmp import SONAME, bundled_openmp, with_soname


def test_the_bundled_library_answers_under_its_own_name(tmp_path: Path) -> None:
    bundled = bundled_openmp()
    if sys.platform != "linux":  # wheels for other systems name their libraries otherwise
        assert bundled is None
        return
    assert bundled is not None
    library = bundled.read_bytes()
    renamed = with_soname(library, bundled.name.encode())
    assert len(renamed) == len(library)
    assert SONAME + b"\0" in renamed
    assert bundled.name.encode() not in renamed
    copy = tmp_path / "copy.so"
    copy.write_bytes(renamed)
    assert ctypes.CDLL(str(copy)).omp_get_max_threads() >= 1
