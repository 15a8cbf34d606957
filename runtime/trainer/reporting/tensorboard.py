"""TensorBoard's event files, in the job's folder.

tensorboardX writes them, with protobuf under 4 MB in all. torch.utils.tensorboard needs the package tensorboard, which
brings gRPC and Pillow, 40 MB, and torch, whose import takes seconds.
"""

import json

from tensorboardX import SummaryWriter

from runtime.trainer.reporting.run import Beginning, Outcome

FOLDER = "tensorboard"


class TensorBoardRun:
    """A run is its folder: TensorBoard reads all files in it as one."""

    run_id = FOLDER

    def __init__(self, begun: Beginning) -> None:
        folder = begun.folder / FOLDER
        folder.mkdir(exist_ok=True)  # it would make the job's folder, too, where that was removed just now
        self._writer = SummaryWriter(str(folder))
        if begun.run_id is None:
            self._writer.add_text("settings", f"```\n{json.dumps(begun.settings, indent=2)}\n```")

    def log(self, step: int, figures: dict[str, float]) -> None:
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, step)

    def flush(self) -> None:
        self._writer.flush()

    def end(self, outcome: Outcome) -> None:
        del outcome  # event files have no place for it
        self._writer.close()
