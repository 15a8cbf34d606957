"""Which examples a step takes."""

from runtime.trainer import batches
from runtime.trainer.batches import examples_of_step
from state.config import TrainingConfig

SETTINGS = TrainingConfig(batch_size=2, gradient_accumulation_steps=2)


def test_each_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    taken = [examples_of_step(SETTINGS, 10, step, seed=42) for step in range(6)]
    first, second = ([index for step in epoch for index in step] for epoch in (taken[:3], taken[3:]))

    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [len(step) for step in taken] == [4, 4, 2] * 2


def test_the_order_that_jobs_were_trained_in_stays() -> None:
    """A resumed job goes on in the order that it began in, whatever version of Lathe began it."""
    assert [examples_of_step(SETTINGS, 10, step, seed=42) for step in (0, 2, 3)] == [
        [7, 5, 9, 4],
        [6, 1],
        [6, 5, 3, 0],
    ]


def test_an_order_is_made_once_an_epoch() -> None:
    batches.order_of_epoch.cache_clear()

    for step in range(6):
        examples_of_step(SETTINGS, 10, step, seed=1)

    assert batches.order_of_epoch.cache_info().misses == 2
