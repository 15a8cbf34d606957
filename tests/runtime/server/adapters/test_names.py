"""An adapter's name goes to one request at a time, and nobody waits for another one's."""

import threading
from pathlib import Path

import pytest

from runtime.server.adapters.names import AdapterNames
from runtime.server.index import Index
from state.errors import Busy, ServiceError
from state.root import DataRoot
from tests.server import PATIENCE_S


@pytest.fixture
def adapter_names(tmp_path: Path) -> AdapterNames:
    root = DataRoot.at(tmp_path)
    root.create()
    index = Index(root)
    index.jobs_are_read = True  # there are none
    return AdapterNames(root, index)


def test_no_name_is_free_for_certain_before_all_jobs_are_read(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    root.create()

    with pytest.raises(Busy, match="still being read"):
        AdapterNames(root, Index(root)).check_is_free("adapter_name", "any")


def test_while_one_takes_its_time_under_a_name_others_are_given_theirs_at_once(adapter_names: AdapterNames) -> None:
    is_unpacking, may_end = threading.Event(), threading.Event()

    def unpack() -> None:
        with adapter_names.reserved("adapter_name", "large"):
            is_unpacking.set()
            may_end.wait(PATIENCE_S)

    unpacking = threading.Thread(target=unpack)
    unpacking.start()
    assert is_unpacking.wait(PATIENCE_S)

    with adapter_names.reserved("adapter_name", "small"), adapter_names.reserved("adapter_name", None):
        pass
    with pytest.raises(ServiceError, match="'large' is taken by another request"):
        adapter_names.check_is_free("adapter_name", "large")
    with pytest.raises(ServiceError, match="'large' is taken"), adapter_names.reserved("name", "large"):
        pass
    may_end.set()
    unpacking.join()

    with adapter_names.reserved("adapter_name", "large"):
        pass


def test_a_name_that_was_refused_or_failed_is_free_again(adapter_names: AdapterNames) -> None:
    with pytest.raises(ZeroDivisionError), adapter_names.reserved("adapter_name", "failing"):
        _ = 1 / 0

    adapter_names.check_is_free("adapter_name", "failing")
