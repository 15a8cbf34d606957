"""What a machine that downloads nothing lacks: wheels in a folder, made where PyPI is, used where the GPU is.

torch and numpy, with all that torch needs, are there; everything else that Lathe stands on is brought in the project's
own versions. bitsandbytes' wheel leaves the libraries behind that are for other CUDA versions and other makers: 41 MiB
become 3. Standard library only.
"""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
MOST_MB = 60  # 2^20 bytes
PYTHON = "3.12"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 27, 28, 31, 34)] + ["manylinux2014_x86_64"]
THERE = {"torch", "numpy", "tbb"}  # tbb: an allocator for computing on a CPU
SCRIPTS_NEED = {"httpx"}  # the checks' client
LIBRARY = re.compile(r"bitsandbytes/libbitsandbytes_(?P<kind>cuda|rocm|xpu)(?P<version>\d+)\.so")


class TooLarge(Exception):
    """The folder is more than can be brought along."""


def bring(folder: Path, cuda: str) -> None:
    """Fill a folder for a machine with this CUDA version ("13.0"); prints what is in it. Raises TooLarge."""
    folder.mkdir(parents=True, exist_ok=True)
    pinned = dict(line.split("==") for line in _lines(CHECKOUT / "constraints.txt"))
    versions = {_plain(name): version for name, version in pinned.items()}
    wanted = [f"{name}=={versions[name]}" for name in sorted(_closure(_dependencies() - THERE | SCRIPTS_NEED))]
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = ["--python-version", PYTHON, "--implementation", "cp", *platforms, "--dest", str(folder)]
    subprocess.run([*command, *target, *wanted], check=True)
    [whole] = folder.glob("bitsandbytes-*.whl")
    strip(whole, cuda)
    wheels = sorted(folder.glob("*.whl"), key=lambda wheel: wheel.stat().st_size)
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 2**20:6.2f} MiB  {wheel.name}")
    total = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{total:6.2f} MiB in {len(wheels)} wheels for Python {PYTHON} and CUDA {cuda}")
    if total > MOST_MB:
        raise TooLarge(f"{total:.1f} MiB are more than the {MOST_MB} that may be brought along")


def strip(wheel: Path, cuda: str) -> None:
    """Leave a bitsandbytes wheel its CPU's library and the one for this CUDA version, its RECORD true."""
    stripped = wheel.with_suffix(".stripped")
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(stripped, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        kept = library_for(cuda, whole.namelist())
        dropped = {name for name in whole.namelist() if LIBRARY.fullmatch(name) and name != kept}
        for entry in whole.infolist():
            content = whole.read(entry)
            if entry.filename in dropped:
                continue
            if entry.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(line for line in lines if line.split(",")[0] not in dropped).encode()
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    stripped.replace(wheel)


def library_for(cuda: str, names: list[str]) -> str:
    """The library that bitsandbytes would take: this version's, else the newest older, else the oldest newer one.

    Raises ValueError where none is of this major version.
    """
    found = {match["version"]: name for name in names if (match := LIBRARY.fullmatch(name)) and match["kind"] == "cuda"}
    major, minor = (int(part) for part in cuda.split("."))
    minors = {int(version[2:]): name for version, name in found.items() if int(version[:2]) == major}
    if not minors:
        raise ValueError(f"bitsandbytes has no library for CUDA {cuda}, but for {', '.join(sorted(found))}")
    older = [other for other in minors if other <= minor]
    return minors[max(older) if older else min(minors)]


def missing() -> list[str]:
    """What of the project's dependencies this machine lacks."""
    return sorted(name for name in _dependencies() - {"tbb"} | SCRIPTS_NEED if not _is_installed(name))


def unpack(folder: Path, target: Path) -> None:
    """Install all wheels of a folder under `target`, which is to go before what the machine has."""
    wheels = [str(wheel) for wheel in sorted(folder.glob("*.whl"))]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--no-cache-dir", "--target", str(target), *wheels], check=True)


def _closure(roots: set[str]) -> set[str]:
    """The roots and what they need, as the packages that are installed here say; THERE and its needs left out."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in THERE:
            found.add(name)
            waiting += _needs(name)
    return found


def _needs(name: str) -> Iterator[str]:
    from packaging.requirements import Requirement  # noqa: PLC0415  where the folder is made it is there

    target = {"python_version": PYTHON, "sys_platform": "linux", "platform_system": "Linux", "extra": ""}
    for text in metadata.requires(name) or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate(target | {"platform_machine": "x86_64"}):
            yield _plain(needed.name)
            yield from (
                _plain(Requirement(more).name)
                for extra in needed.extras
                for more in metadata.requires(needed.name) or []
                if (marker := Requirement(more).marker) and marker.evaluate(target | {"extra": extra})
            )


def _dependencies() -> set[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return {_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in project["dependencies"]}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
