"""`python -m tests.stuck_trainer JOB_DIR WHERE`: a trainer that is stuck there for ever, as in a row that takes hours.

It makes the file `stuck` in the data root then. WHERE is "nowhere", "import of torch", "preparation", "evaluation",
"sample N" or "step N" (from 1). "tokenizing" makes no file: the rows have no end, and are tokenized on and on.
"""

import atexit
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

from runtime.model import libraries
from runtime.process import cpu
from runtime.trainer.__main__ import main
from runtime.trainer.documents import Document


def stick(*_: object) -> Any:
    (Path(sys.argv[1]).parent.parent / "stuck").touch()
    threading.Event().wait()


class StuckImport(MetaPathFinder):
    def find_spec(self, name: str, *_: object) -> None:
        if name == "torch":
            stick()


def endless(items: Iterator[Any], *how: Any) -> Iterator[Any]:
    from runtime.trainer import counting  # noqa: PLC0415

    return counting.counted(itertools.cycle(items), *how)


def stuck_answer(where: str) -> Callable[..., Any]:
    from runtime.trainer import sampling  # noqa: PLC0415

    own, count = sampling.greedy_answer, 0

    def greedy_answer(*arguments: Any) -> list[int]:
        nonlocal count
        count += 1
        return stick() if where == f"sample {count}" else own(*arguments)

    return greedy_answer


def stuck_choose(where: str) -> Callable[..., Any]:
    import torch  # noqa: PLC0415

    from runtime.trainer import loss, recipe  # noqa: PLC0415
    from runtime.trainer.run import Run, compute_gradients  # noqa: PLC0415

    current = 0

    def counted(run: Run, step: int) -> Any:
        nonlocal current
        current = step + 1
        return compute_gradients(run, step)

    vars(recipe)["compute_gradients"] = counted

    def choose(*arguments: Any) -> Callable[[Sequence[Document]], torch.Tensor]:
        own = loss.choose(*arguments)

        def summed_loss(documents: Sequence[Document]) -> torch.Tensor:
            total = own(documents)  # so that dropout has drawn
            if where == "evaluation" and not torch.is_grad_enabled():
                stick()
            if where == f"step {current}":
                stick()
            return total

        return summed_loss

    return stick if where == "preparation" else choose


def be(where: str) -> NoReturn:
    """Train the job that `sys.argv` names, up to there."""
    if where == "import of torch":
        sys.meta_path.insert(0, StuckImport())
    else:
        libraries.load()
        from runtime.trainer import preparation, sampling, tokenizing  # noqa: PLC0415

        if where == "tokenizing":
            vars(tokenizing)["counted"] = endless
        vars(preparation)["choose"] = stuck_choose(where)
        vars(sampling)["greedy_answer"] = stuck_answer(where)
    main()


if __name__ == "__main__":
    cpu.prepare()
    atexit.register(print, "torn down")
    be(sys.argv.pop())
