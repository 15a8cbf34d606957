"""What is missing is told with the command that mends it."""

from importlib import metadata
from pathlib import Path

import pytest

from runtime.process import gpus
from runtime.process.machine import Machine
from runtime.server import doctor
from state import models
from state.root import DataRoot
from tests.server import PATIENCE_S


def test_what_is_missing_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"gguf": None, "pyarrow": None, "torch": "2.13.0+cpu"}

    def version(package: str) -> str:
        found = versions.get(package, "1.0")
        if found is None:
            raise metadata.PackageNotFoundError(package)
        return found

    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '0, NVIDIA H100, 81559, 80000'\necho '1, NVIDIA H100, [N/A], [N/A]'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(gpus, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(models, "BUNDLED", tmp_path / "nothing")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    root = DataRoot.at(tmp_path / "root")
    root.create()

    report = doctor.examine(root, Machine("cuda", "NVIDIA H100", ("0", "1")))

    wrong = {check.what: (check.level, check.fix) for check in report.checks if check.fix is not None}
    assert wrong == {
        "gguf": ("missing", "make setup"),
        "pyarrow": ("warn", ".venv/bin/pip install --constraint constraints.txt pyarrow"),
        "device": ("warn", ".venv/bin/pip install --force-reinstall torch==2.13.0"),
        "models": ("missing", doctor.DOWNLOAD),
    }
    assert (report.level, report.packages["gguf"], report.models) == ("missing", None, [])
    assert [(gpu.index, gpu.memory_free_mb) for gpu in report.gpus] == [("0", 80000)]


@pytest.mark.parametrize(("compiler", "is_told"), [("sh -e", False), ("no-such-compiler", True)])
def test_a_missing_compiler_is_told_where_it_would_be_used(
    compiler: str, *, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    root = DataRoot.at(tmp_path / "root")
    root.create()

    found = {
        device: any(check.what == "compiler" for check in doctor.examine(root, Machine(device, "it", ())).checks)
        for device in ("cpu", "mps")
    }

    assert found == {"cpu": is_told, "mps": False}
