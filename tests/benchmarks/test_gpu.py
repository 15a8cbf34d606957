"""The command for a machine with a GPU, on one without: what a CPU can do of it, and how it tells what goes wrong."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu import one, wheels
from benchmarks.gpu.checks import CHECKS, Check
from benchmarks.gpu.running import Run
from benchmarks.gpu.setting import Setting, Skipped
from tests.server import CHECKOUT

LIBRARIES = ("cpu", "cuda118", "cuda126", "cuda130", "cuda132", "rocm72", "xpu2026")


def test_without_a_gpu_it_does_what_a_cpu_can(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--results", str(tmp_path), "--only", "machine.look"]

    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    _, look, counts = done.stdout.splitlines()
    assert look.startswith("ok      machine.look: ")
    assert "bitsandbytes' library loads" in look
    assert counts == "1 ok, 0 FAILED, 0 skipped"
    [told] = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert (told["name"], told["status"]) == ("machine.look", "ok")


def test_it_says_why_it_does_not_do_the_rest(tmp_path: Path) -> None:
    from benchmarks.gpu import exactness  # noqa: PLC0415  imports torch

    reason = "there is no GPU: AdamW is fused on CUDA"
    assert one.answer(exactness.fused_adamw, Setting(tmp_path, 600)) == ("skipped", reason)


@pytest.mark.parametrize("name", ["packed_attention", "fused_lora"])
def test_the_faster_ways_are_no_farther_from_float32_than_the_plain_ones(tmp_path: Path, name: str) -> None:
    from benchmarks.gpu import exactness  # noqa: PLC0415  imports torch

    status, figure = one.answer(getattr(exactness, name), Setting(tmp_path, 600))

    assert status == "ok", figure


def test_keys_and_values_in_pages_are_compared_with_plain_caches_on_a_cpu_too(tmp_path: Path) -> None:
    from benchmarks.gpu import paging  # noqa: PLC0415  imports torch

    status, figure = one.answer(paging.pages, Setting(tmp_path, 600))

    assert status == "ok", figure
    assert figure.startswith("0 calls of the GPU's flash kernel for pages: logits of 7 passes of 5 sequences")
    assert one.answer(paging.graphs, Setting(tmp_path, 600)) == ("skipped", "there is no GPU: graphs are CUDA's")


def test_bfloat16_trains_as_float32_does(tmp_path: Path) -> None:
    from benchmarks.gpu import exactness  # noqa: PLC0415  imports torch

    status, figure = one.answer(exactness.bfloat16, Setting(tmp_path, 600))

    assert (status, figure.startswith("losses of 8 steps")) == ("ok", True), figure


def test_a_check_that_dies_or_hangs_is_told_in_a_line_and_the_next_one_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("nothing.there", 60), Check("machine.look", 0), Check("nothing.either", 60)]

    outcomes = Run(tmp_path, tmp_path / "scratch", {}).all(checks, 600)

    assert [outcome.status for outcome in outcomes] == ["FAILED"] * 3
    dies, hangs, again = capsys.readouterr().out.splitlines()
    assert "FAILED  nothing.there: ended with 1, without an answer" in dies
    assert "FAILED  machine.look: took longer than the 0 s that it may" in hangs
    assert f"({tmp_path / 'nothing.either.log'})" in again
    assert (
        "ModuleNotFoundError: No module named 'benchmarks.gpu.nothing'" in (tmp_path / "nothing.there.log").read_text()
    )


def test_what_there_is_no_time_for_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [outcome] = Run(tmp_path, tmp_path / "scratch", {}).all([Check("nothing.there", 60)], 1.0)

    assert outcome.status == "skipped"
    assert "minutes are over" in outcome.figure
    assert capsys.readouterr().out.startswith("skipped nothing.there: the run's")


def test_an_error_is_told_by_its_first_line_and_its_traceback_goes_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Setting) -> str:
        raise RuntimeError("CUDA error: out of luck\nfor reasons of its own")

    def cannot(_: Setting) -> str:
        raise Skipped("no luck is needed here")

    assert one.answer(fails, Setting(tmp_path, 600)) == ("FAILED", "RuntimeError: CUDA error: out of luck")
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert one.answer(cannot, Setting(tmp_path, 600)) == ("skipped", "no luck is needed here")


def test_every_check_is_a_function_of_its_module() -> None:
    for check in CHECKS:
        module, _, function = check.name.partition(".")
        source = (CHECKOUT / "benchmarks" / "gpu" / f"{module}.py").read_text()
        assert f"\ndef {function}(" in source


@pytest.mark.parametrize(("cuda", "library"), [("13.0", "130"), ("13.1", "130"), ("13.3", "132"), ("12.4", "126")])
def test_the_wheel_keeps_the_library_that_bitsandbytes_would_take(tmp_path: Path, cuda: str, library: str) -> None:
    wheel = tmp_path / "bitsandbytes-1-py3-none-manylinux_2_24_x86_64.whl"
    names = ["bitsandbytes/__init__.py", *(f"bitsandbytes/libbitsandbytes_{name}.so" for name in LIBRARIES)]
    record = "bitsandbytes-1.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in names:
            file.writestr(name, name)
        file.writestr(record, "".join(f"{name},sha256=x,1\n" for name in names) + f"{record},,\n")

    wheels.strip(wheel, cuda)

    kept = [names[0], *(f"bitsandbytes/libbitsandbytes_{name}.so" for name in ("cpu", f"cuda{library}")), record]
    with zipfile.ZipFile(wheel) as file:
        assert file.namelist() == kept
        assert [line.split(",")[0] for line in file.read(record).decode().splitlines()] == kept


def test_a_cuda_version_without_a_library_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no library for CUDA 14.0, but for 118, 126"):
        wheels.library_for("14.0", [f"bitsandbytes/libbitsandbytes_{name}.so" for name in LIBRARIES])


def test_nothing_is_missing_where_the_tests_run() -> None:
    assert wheels.missing() == []
