"""The files that run Lathe as a service name what there is, and a container that is stopped loses no training."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.server import reserved_port
from state import jobs
from state.jobs import JobFolder
from state.version import VERSION
from tests.server import CHECKOUT, MODEL, PATIENCE_S, wait_until

UNIT = CHECKOUT / "deploy" / "lathe.service"
CONTAINERFILE = CHECKOUT / "deploy" / "Containerfile"
IGNORED = CHECKOUT / ".dockerignore"
START = CHECKOUT / "deploy" / "container-start"
PID_NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _options_of_the_server() -> set[str]:
    shown = subprocess.run(
        [sys.executable, "main.py", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z][a-z-]+", shown.stdout))


def _image() -> str:
    """The Containerfile's last stage. What the one before copies is a part of what this one copies."""
    return "FROM " + CONTAINERFILE.read_text().rpartition("\nFROM ")[2]


def _copied() -> list[str]:
    """What an image is made of."""
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", _image(), flags=re.MULTILINE)
    return [name for copy in copies for name in copy.split()]


def test_the_files_name_options_that_the_server_has() -> None:
    command = re.findall(r"^(?:ExecStart|CMD).*", UNIT.read_text() + CONTAINERFILE.read_text(), flags=re.MULTILINE)

    assert len(command) == 2
    assert set(re.findall(r"--[a-z][a-z-]+", " ".join(command))) <= _options_of_the_server()


def test_pip_finds_the_version_of_the_code_in_what_the_container_file_has_copied_by_then(tmp_path: Path) -> None:
    before_pip = _image().partition("\nRUN pip ")[0]
    for names, target in re.findall(r"^COPY (.+) (\S+)$", before_pip, flags=re.MULTILINE):
        for name in names.split():
            copy = tmp_path / (name if target == "./" else target)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(CHECKOUT / name, copy)
    read = "from setuptools.config.pyprojecttoml import read_configuration as read; print(read('pyproject.toml'))"

    told = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert f"'version': '{VERSION}'" in told.stdout


def test_the_container_file_copies_what_there_is_and_all_that_the_server_imports() -> None:
    copied = _copied()

    assert {"main.py", "server.py", "handlers", "runtime", "state", "models/tiny-python"} <= set(copied)
    assert all((CHECKOUT / name).exists() for name in copied)


def test_the_kernels_of_an_image_are_compiled_from_what_is_copied_for_them(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    stage = CONTAINERFILE.read_text().rpartition("\nFROM ")[0]
    made_meanwhile = shutil.ignore_patterns("__pycache__", "compiled")  # by other tests' processes
    for name, target in re.findall(r"^COPY (\S+) (\S+)$", stage, flags=re.MULTILINE):
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, tmp_path / target, ignore=made_meanwhile)
        else:
            shutil.copy(CHECKOUT / name, tmp_path / target)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    made = subprocess.run(
        [sys.executable, "-m", "runtime.inference.native.compiling"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (made.returncode, made.stderr) == (0, "")
    assert Path(made.stdout.splitlines()[0]).is_relative_to(tmp_path)


def test_an_image_is_built_from_what_it_copies_and_nothing_else() -> None:
    everything, *shown, hidden = [
        line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")
    ]

    assert (everything, hidden) == ("*", "**/__pycache__")
    assert {line.removeprefix("!") for line in shown} == set(_copied()) - {"state/version.py"}  # one of state's
    assert IGNORED.name == ".dockerignore"  # Podman reads it as Docker does


def test_the_unit_leaves_the_server_a_folder_for_temporary_files_and_others_no_data() -> None:
    lines = UNIT.read_text().splitlines()

    assert {"ProtectSystem=strict", "PrivateTmp=yes", "StateDirectory=lathe", "StateDirectoryMode=0750"} <= set(lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    here = tmp_path / "lathe.service"
    here.write_text(UNIT.read_text().replace("/opt/lathe/.venv/bin/python", sys.executable))

    found = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def _may_make_pid_namespaces() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*PID_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not _may_make_pid_namespaces(), reason="needs Linux, root and unshare: a container's own processes")
def test_a_container_that_is_stopped_has_its_trainers_write_a_checkpoint_first(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with reserved_port() as port:
        container = subprocess.Popen(
            [*PID_NAMESPACE, START, "--root", tmp_path, "--port", str(port), "--no-spare-trainer"],
            cwd=CHECKOUT,
            env=environment,
        )
        try:
            with httpx.Client(base_url=f"http://localhost:{port}/api", timeout=PATIENCE_S) as client:
                wait_until(lambda: _answers(client), "the server in the container answers")
                folder = _training(client, tmp_path)

                shell = _shell_inside(container)
                os.kill(_first_process(container), signal.SIGTERM)

                assert container.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
                shell.wait(timeout=PATIENCE_S)
        finally:
            container.kill()
            container.wait()
    # the server may have seen the trainer's end before its own
    assert jobs.read_status(folder).status in {"running", "pending"}, "the next container's server goes on with the job"
    assert folder.checkpoint_steps()


def _training(client: httpx.Client, root: Path) -> JobFolder:
    """A job that has made a step, and has hours to go."""
    settings = {"max_steps": 100_000, "save_steps": 100_000, "max_seq_length": 16}
    job = {"model_name": MODEL, "train_texts": ["def add(a, b):"], "training_config": settings}
    job_id = client.post("/training/start", json=job).json()["job_id"]
    folder = JobFolder(root / "training_jobs" / f"job_{job_id}")
    wait_until(lambda: jobs.read_status(folder).current_step > 0, "the trainer has made a step")
    return folder


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def _first_process(container: subprocess.Popen[bytes]) -> int:
    """What is process 1 inside."""
    (child,) = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    return int(child)


def _shell_inside(container: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """As of `podman exec`: its parent is outside, and it ignores SIGTERM."""
    target = ["--target", str(_first_process(container)), "--pid", "--mount"]
    shell = subprocess.Popen(
        ["nsenter", *target, "bash", "-c", "trap '' TERM; echo ready; sleep 3600"], stdout=subprocess.PIPE
    )
    assert shell.stdout is not None
    with shell.stdout as output:
        assert output.readline() == b"ready\n"
    return shell
