"""What the steps of the first epoch take is what `batches` gives them, row by row."""

import random
from pathlib import Path

from runtime.trainer import steps
from runtime.trainer.batches import examples_of_step
from runtime.trainer.documents import Document
from runtime.trainer.token_files import TokenFiles, TokenWriter
from runtime.trainer.tokenizing import Counts
from state.config import TrainingConfig, steps_per_epoch


def test_flat_steps_are_those_that_the_rows_make_one_by_one(tmp_path: Path) -> None:
    settings = TrainingConfig(batch_size=2, gradient_accumulation_steps=2)
    chance = random.Random(1)  # noqa: S311
    with TokenWriter(tmp_path) as writer:
        for line in range(1, 24):
            lengths = [chance.randint(2, 30) for _ in range(chance.randint(1, 3))]
            writer.add(line, [Document([7] * length, [(1, length // 2 + 1)]) for length in lengths])
        writer.finish(Counts())
    rows = TokenFiles(tmp_path)

    made = steps.of_first_epoch(settings, rows, seed=42)

    taken = [
        [document for row in examples_of_step(settings, len(rows), step, 42) for document in rows[row]]
        for step in range(steps_per_epoch(settings, len(rows)))
    ]
    assert [lengths.tolist() for lengths in made] == [[len(each) for each in step] for step in taken]
    assert made.tokens.tolist() == [sum(map(len, step)) for step in taken]
    assert made.targets.tolist() == [sum(end - begin for each in step for begin, end in each.spans) for step in taken]
    assert (len(made), made.document_tokens.itemsize) == (6, 4)
    assert [rows.num_tokens(row) for row in range(len(rows))] == [sum(map(len, documents)) for documents in rows]
