"""`python dashboard/vendor/refresh.py [--check | --latest]`: the vendored files are the npm packages' own bytes.

Without an option it fetches the packages of manifest.json from the registry that npm is configured for, compares each
tarball with npm's own integrity, and writes the named files and their sums. `--check` compares what lies here with the
sums, offline. `--latest` says which packages have a newer version. To update one, change its version in manifest.json.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "manifest.json"
CHECKOUT = HERE.parents[1]


def main(arguments: list[str]) -> int:
    manifest = json.loads(MANIFEST.read_text())
    match arguments:
        case []:
            for name, package in manifest.items():
                _refresh(name, package)
            MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")
            return 0
        case ["--check"]:
            return _report(problem for package in manifest.values() for problem in _problems(package))
        case ["--latest"]:
            return _report(line for name, package in manifest.items() for line in _newer(name, package))
    sys.stderr.write(f"{__doc__}\n")
    return 2


def _refresh(name: str, package: dict[str, Any]) -> None:
    dist = _ask(f"{name}/{package['version']}")["dist"]
    algorithm, _, wanted = dist["integrity"].partition("-")
    tarball = _get(dist["tarball"])
    if base64.b64encode(hashlib.new(algorithm, tarball).digest()).decode() != wanted:
        raise SystemExit(f"{dist['tarball']} is not what npm's integrity says")
    package["integrity"] = dist["integrity"]
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        for path, file in package["files"].items():
            member = archive.extractfile(f"package/{path}")
            if member is None:
                raise SystemExit(f"{name} {package['version']} has no file {path}")
            content = member.read()
            file["sha256"] = hashlib.sha256(content).hexdigest()
            (CHECKOUT / file["as"]).write_bytes(content)


def _problems(package: dict[str, Any]) -> list[str]:
    found = []
    for file in package["files"].values():
        path = CHECKOUT / file["as"]
        if not path.is_file():
            found.append(f"{file['as']} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
            found.append(f"{file['as']} is not the package's own file")
    if not any("LICENSE" in path for path in package["files"]):
        found.append(f"a package lacks its licence: {package}")
    return found


def _newer(name: str, package: dict[str, Any]) -> list[str]:
    latest = _ask(f"{name}/latest")["version"]
    return [] if latest == package["version"] else [f"{name}: {latest} is out, {package['version']} is here"]


def _report(lines: Any) -> int:  # noqa: ANN401  an iterable of strings
    found = list(lines)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def _ask(path: str) -> dict[str, Any]:
    return dict(json.loads(_get(f"{_registry().rstrip('/')}/{path}")))


def _registry() -> str:
    """The registry that npm uses here; npm's own where there is no npm."""
    if named := os.environ.get("NPM_CONFIG_REGISTRY"):
        return named
    try:
        asked = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return "https://registry.npmjs.org"
    return asked.stdout.strip()


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as reply:  # noqa: S310  the registry's
        return bytes(reply.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
