"""What a data set is for a model, asked of processes that read its rows as a trainer does."""

import asyncio

from runtime.messages import preview, report
from runtime.messages.preview import Preview
from runtime.messages.report import Report
from runtime.server import processes
from state.config import Learn
from state.root import DataRoot
from state.row_source import RowSource

WHO = "The process that reads the data set"


class Inspector:
    """Makes one report and one preview at a time: each takes all cores while it tokenizes."""

    def __init__(self, root: DataRoot, ending: asyncio.Event) -> None:
        """Who waits for either while the server is `ending` waits no longer."""
        self._root = root
        self._ending = ending
        self._one_report = asyncio.Lock()
        self._one_preview = asyncio.Lock()

    async def report(self, rows: RowSource, model_name: str, max_seq_length: int | None, learn: Learn | None) -> Report:
        """Reads all rows. Cancelled, it stops computing at once.

        Raises ServiceError for a model that is of no use and for data that cannot be read, ProcessDied.
        """
        question = report.Question(
            root=str(self._root.path), rows=rows, model_name=model_name, learn=learn, max_seq_length=max_seq_length
        )
        async with self._one_report:
            return await processes.ask("runtime.trainer.data.report", question, Report, who=WHO, ending=self._ending)

    async def preview(  # noqa: PLR0913  which rows, and how they are read
        self,
        rows: RowSource,
        model_name: str,
        learn: Learn | None,
        *,
        file: str | None,
        first: int,
        count: int,
        min_tokens: int | None,
        max_tokens: int | None,
    ) -> Preview:
        """`count` rows from a file's row `first` on, as `report` reads them; of given lengths, where these are given.

        Raises as `report` does.
        """
        question = preview.Question(
            root=str(self._root.path),
            rows=rows,
            model_name=model_name,
            learn=learn,
            file=file,
            first=first,
            count=count,
            min_tokens=min_tokens,
            max_tokens=max_tokens,
        )
        async with self._one_preview:
            return await processes.ask("runtime.trainer.data.preview", question, Preview, who=WHO, ending=self._ending)
