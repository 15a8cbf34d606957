"""Base models by name: where the hub's cache lies, and folders that are links."""

import errno
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.server import hub
from state import adapters, models
from state.errors import BrokenFile, ServiceError
from state.models import BUNDLED
from state.root import DataRoot

VARIABLES = {
    "XDG_CACHE_HOME": ["/xdg", "~/xdg"],
    "HF_HOME": ["/home-of-hf", "$HOME/hf"],
    "HUGGINGFACE_HUB_CACHE": ["/before", ""],
    "HF_HUB_CACHE": ["/now", "~/now"],
}
ASK = """
import importlib, json, os, sys
from huggingface_hub import constants
for variables in json.load(sys.stdin):
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
                 "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    os.environ.update(variables)
    importlib.reload(constants)
    print(json.dumps([constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE]))
"""


def test_the_hubs_cache_and_its_being_offline_are_huggingface_hubs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    offline = [{}, {"HF_HUB_OFFLINE": "yes"}, {"TRANSFORMERS_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0"}]
    choices = [[(name, value) for value in [None, *values]] for name, values in VARIABLES.items()]
    combinations = [
        {name: value for name, value in chosen if value is not None} | switched
        for chosen, switched in zip(itertools.product(*choices), itertools.cycle(offline), strict=False)
    ]
    asked = [sys.executable, "-c", ASK]
    told = subprocess.run(asked, input=json.dumps(combinations), capture_output=True, text=True, check=True).stdout

    for variables, line in zip(combinations, told.splitlines(), strict=True):
        for name in (*VARIABLES, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        cache, is_offline = json.loads(line)
        assert (models.hub_cache(), hub.is_offline()) == (Path(cache), is_offline), variables


def test_a_model_that_is_a_link_is_a_model_under_the_links_name(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path / "root")
    root.create()
    (root.models / "from-the-library").symlink_to(BUNDLED / "tiny-python")

    found = models.find(root, "from-the-library")

    assert (found.kind, found.folder) == ("folder", root.models / "from-the-library")
    assert models.tensors(root.models / "from-the-library")
    assert "from-the-library" in {model.name for model in models.available(root).models}


def test_a_link_that_leads_nowhere_and_a_folder_without_a_model_say_so(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path / "root")
    root.create()
    (root.models / "gone").symlink_to("/library/unplugged")
    (root.models / "empty").mkdir()

    with pytest.raises(ServiceError, match=r"^Model gone not available: models/gone is a link to /library/unplugged"):
        models.find(root, "gone")
    with pytest.raises(ServiceError, match=r"^Model empty not available: models/empty has no config\.json$"):
        models.find(root, "empty")
    with pytest.raises(ServiceError, match=r"^Model \.\. not available$"):
        models.find(root, os.pardir)


def test_a_folder_that_may_not_be_entered_is_its_own_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may enter every folder, so the system's refusal is a stand-in."""
    root = DataRoot.at(tmp_path / "root")
    root.create()
    locked = root.models / "locked"
    locked.mkdir()
    stat = os.stat

    def refusing(path: Any, *positional: Any, **named: Any) -> os.stat_result:
        if str(path).startswith(f"{locked}/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *positional, **named)

    monkeypatch.setattr(os, "stat", refusing)

    listed = {model.name for model in models.available(root).models}

    assert {"locked", "tiny-python"} <= listed
    with pytest.raises(BrokenFile, match=r"^locked/config\.json: Permission denied$"):
        models.config(locked)
    assert adapters.read(root, _adapter_for(root, "locked")).model_name == "locked"


def _adapter_for(root: DataRoot, base: str) -> Path:
    """An adapter without a record: its base's name is looked up."""
    folder = root.adapters / "without-a-record"
    folder.mkdir()
    (folder / adapters.CONFIG).write_text(json.dumps({"base_model_name_or_path": base}))
    return folder
