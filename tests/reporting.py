"""Stand-ins for the tools' packages: they write down what they are asked, a line a call."""

import json
from pathlib import Path

CALLS = """
import json, os

def call(name, /, *given, **named):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([name, *given, named], default=str) + "\\n")
"""
WANDB = """
from recording import call

class Settings:
    def __init__(self, **named):
        call("Settings", **named)

class Run:
    def define_metric(self, name, step_metric=None): pass
    def log(self, figures, step, commit): call("log", figures, number=step)
    def finish(self, exit_code): call("finish", exit_code)

def init(**named):
    call("init", **{name: value for name, value in named.items() if name not in ("settings", "config")})
    return Run()
"""
BROKEN = """
def init(**named):
    raise RuntimeError("the host is unreachable\\nand so on")

class Settings:
    def __init__(self, **named): pass
"""
TRACKIO = """
from recording import call

class Run:
    def log(self, figures, step): call("log", {**figures, "step": step})
    def finish(self): call("finish")

def init(project, name, config, resume, **named):
    call("init", project=project, name=name, resume=resume)
    return Run()
"""
MLFLOW = """
from recording import call
from types import SimpleNamespace

class MlflowClient:
    def __init__(self, uri): call("client", uri)
    def update_run(self, run_id, status): call("update_run", run_id, status)
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name): call("create_experiment", name); return "7"
    def create_run(self, experiment_id, run_name, tags):
        call("create_run", experiment_id, run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id="run-1"))
    def log_batch(self, run_id, metrics=(), params=()):
        for name, value, _, step in metrics:
            call("log", {name: value, "step": step})
    def set_terminated(self, run_id, status): call("finish", run_id, status)
"""
ENTITIES = "def Metric(*given): return given\ndef Param(*given): return given\n"


class StandIns:
    """On the path of whatever process is started from now on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {"recording.py": CALLS, "wandb.py": WANDB, "trackio.py": TRACKIO, "mlflow/__init__.py": MLFLOW}
        for name, source in (files | {"mlflow/entities.py": ENTITIES}).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    def break_wandb(self) -> None:
        (self.folder / "wandb.py").write_text(BROKEN)

    def calls(self) -> list[list[object]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
