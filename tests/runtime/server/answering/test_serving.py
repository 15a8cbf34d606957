"""Which adapter answers, whatever happens while one is loaded."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runtime.messages.inference import AdapterFiles
from runtime.server.adapters.names import AdapterNames
from runtime.server.answering.serving import Serving
from runtime.server.answering.worker import Worker
from runtime.server.index import Index
from state.errors import LoadFailed, NotFound
from state.root import DataRoot
from tests.server import PATIENCE_S


class SlowWorker(Worker):
    """Loads nothing: each load ends when the test says so, or fails for the reason that it gives."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.loads: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def load(self, source: str, adapter: AdapterFiles) -> None:
        del source, adapter
        may_end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.loads.put_nowait(may_end)
        await may_end


@pytest.fixture
def root(tmp_path: Path, toy: Path, trained: Path) -> DataRoot:
    """With the adapters one and other."""
    root = DataRoot.at(tmp_path)
    root.create()
    shutil.copytree(toy, root.models / "toy")
    for name in ("one", "other"):
        shutil.copytree(trained, root.adapters / name)
    return root


def _play(root: DataRoot, scenario: Callable[[Serving, SlowWorker], Awaitable[None]]) -> None:
    async def play() -> None:
        index, worker = Index(root), SlowWorker()
        index.jobs_are_read = True
        async with asyncio.timeout(PATIENCE_S):
            await scenario(Serving(root, index, AdapterNames(root, index), worker), worker)

    asyncio.run(play())


def test_an_adapter_is_described_renamed_and_deleted_while_another_is_loaded(root: DataRoot) -> None:
    async def scenario(serving: Serving, worker: SlowWorker) -> None:
        loading = asyncio.create_task(serving.load("one"))
        may_end = await worker.loads.get()

        described = await serving.update("other", None, "Described meanwhile", None)
        await serving.update("other", "renamed", None, None)
        await serving.delete("renamed")

        assert described.description == "Described meanwhile"
        assert [path.name for path in root.adapters.iterdir() if not path.name.startswith(".")] == ["one"]
        assert not loading.done()
        may_end.set_result(None)
        await loading
        assert serving.current_name == "one"

    _play(root, scenario)


def test_an_adapter_that_is_deleted_while_it_is_loaded_does_not_answer(root: DataRoot) -> None:
    async def scenario(serving: Serving, worker: SlowWorker) -> None:
        loading = asyncio.create_task(serving.load("one"))
        may_end = await worker.loads.get()

        await serving.delete("one")
        may_end.set_result(None)

        with pytest.raises(NotFound):
            await loading
        assert serving.current_name is None

    _play(root, scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_changed_files_that_are_loaded_late_leave_the_adapter_that_was_loaded_meanwhile(
    root: DataRoot,
    fails: bool,  # noqa: FBT001
) -> None:
    async def scenario(serving: Serving, worker: SlowWorker) -> None:
        first = asyncio.create_task(serving.load("one"))
        (await worker.loads.get()).set_result(None)
        await first
        weights = root.adapters / "one" / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes() + b"\0")

        following = asyncio.create_task(serving.follow_files())
        changed = await worker.loads.get()
        second = asyncio.create_task(serving.load("other"))
        (await worker.loads.get()).set_result(None)
        await second
        if fails:
            changed.set_exception(LoadFailed("broken"))
        else:
            changed.set_result(None)
        await asyncio.gather(following, return_exceptions=True)

        assert serving.current_name == "other"

    _play(root, scenario)


def test_an_adapter_whose_record_says_another_way_to_ask_it_is_asked_so(root: DataRoot) -> None:
    async def scenario(serving: Serving, worker: SlowWorker) -> None:
        first = asyncio.create_task(serving.load("one"))
        (await worker.loads.get()).set_result(None)
        await first
        record = root.adapters / "one" / "adapter.json"
        said = json.loads(record.read_text()) | {"chat": {"stop_tokens": ["<|stop|>"]}}
        record.write_text(json.dumps(said))

        await serving.follow_files()

        adapter = serving.loaded().adapter
        assert adapter is not None
        assert adapter.chat.stop_tokens == ["<|stop|>"]
        assert worker.loads.empty()

    _play(root, scenario)
