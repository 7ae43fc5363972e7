"""The C sources beside this file, compiled for this processor once and kept in the user's cache folder."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from octad_systems.atomic import temporary_sibling
from octad_systems.errors import KernelError

SOURCES = Path(__file__).with_name("native")
_FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared")
_WISHES = (("-march=native", "-fopenmp"), ("-march=native",), ("-fopenmp",), ())  # not every compiler knows both
_COMPILERS = ("cc", "gcc", "clang")


@functools.cache
def native_library() -> ctypes.CDLL:
    """The compiled kernels, loaded.

    The first call of a machine compiles them (about two seconds) with `$CC`, cc, gcc or clang, into
    `$XDG_CACHE_HOME/octad`, `~/.cache/octad` or, where neither can be written, a temporary folder. The file is named by
    its sources, flags, compiler and processor, so another of any makes another file.

    Raises:
        KernelError: there is no compiler, or it fails, or what it made cannot be loaded (as from a folder that nothing
            may be run from); the message ends with what was said.
    """
    compiler = _compiler()
    sources = sorted(SOURCES.glob("*.c"))
    text = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()) if path.suffix in (".c", ".h"))
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    named_by = (text, repr((_FLAGS, _WISHES)).encode(), version, _processor().encode())
    key = hashlib.sha256(b"\0".join(named_by)).hexdigest()
    target = _cache_folder() / f"kernels-{key[:16]}.so"
    if not target.exists():
        _compile(compiler, sources, target)
    try:
        library = ctypes.CDLL(str(target))
    except OSError as error:
        raise KernelError(f"the compiled kernels cannot be loaded: {error}") from None
    for name in ("attention_forward", "attention_backward", "logits_to_gradient"):
        getattr(library, name).restype = ctypes.c_int
    return library


@functools.cache
def has_native_kernels() -> bool:
    """Whether this machine has a compiler that makes the kernels; tries it on the first call."""
    try:
        native_library()
    except KernelError:
        return False
    return True


def _compiler() -> list[str]:
    chosen = os.environ.get("CC", "").split()
    if chosen and shutil.which(chosen[0]):
        return chosen
    for name in _COMPILERS:
        if path := shutil.which(name):
            return [path]
    raise KernelError(
        f"no C compiler: neither $CC nor {', '.join(_COMPILERS)} is there; install gcc or clang, "
        "or use the functions of torch that these kernels stand for"
    )


def _compile(compiler: list[str], sources: list[Path], target: Path) -> None:
    """With this processor's instructions and with threads, where the compiler can; written aside and renamed."""
    aside = temporary_sibling(target)
    said = ""
    for wishes in _WISHES:
        command = [*compiler, *_FLAGS, *wishes, *map(str, sources), "-o", str(aside), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            aside.replace(target)
            return
        said = done.stderr
    aside.unlink(missing_ok=True)
    raise KernelError(f"{' '.join(compiler)} cannot compile the kernels: {said.strip()[-500:]}")


def _processor() -> str:
    """What `-march=native` means here."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return f"{platform.machine()} {platform.processor()}"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "octad"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="octad-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="octad-"))
