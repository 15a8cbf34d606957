"""What is looked at between steps: the loss of evaluation rows, the best adapter by it, answers to sample prompts."""

import logging

from runtime.trainer import best_adapter, early_stopping, epoch_adapters
from runtime.trainer.evaluation import Evaluated, evaluate
from runtime.trainer.interruption import Interruption
from runtime.trainer.progress import Progress
from runtime.trainer.run import Run
from state import samples
from state.config import steps_between_evaluations, steps_per_epoch
from state.jobs import JobFolder

log = logging.getLogger("trainer")


class Monitor:
    """Looks at one run. Whatever it computes an interruption may cut off: a resumed run does what is missing."""

    def __init__(self, folder: JobFolder, run: Run, progress: Progress, interruption: Interruption) -> None:
        self._folder = folder
        self._run = run
        self._progress = progress
        self._interruption = interruption
        self._steps_per_epoch = steps_per_epoch(run.settings, len(run.data.train.rows))
        with interruption.deferred():
            samples.rewind(folder.samples_file, progress.position.step)

    def look(self) -> None:
        """Evaluate and sample, where that is due after the last step and was not done before.

        The untrained adapter is sampled too, to show what the training changes.
        """
        run = self._run
        step, total_steps = self._progress.position.step, run.data.total_steps
        ends_epoch = run.settings.keep_epochs > 0 and step > 0 and step % self._steps_per_epoch == 0
        if step % steps_between_evaluations(run.settings) == 0 or step >= total_steps or ends_epoch:
            self._evaluate()
            self._sample()
        if ends_epoch and step < total_steps:
            with self._interruption.deferred():
                epoch_adapters.save(self._folder, run.model, step, run.settings.keep_epochs)

    def tidy(self) -> None:
        """Remove the adapters that were the best ones once. For when checkpoints have gone."""
        best_adapter.prune(self._folder, self._progress.position.best_step)

    def _evaluate(self) -> None:
        position, run = self._progress.position, self._run
        if run.data.held_out is None or position.eval_step >= position.step:
            return
        found = self._evaluated()
        with self._interruption.deferred():
            if run.settings.keep == "best" and early_stopping.is_best(position, found.loss):
                # before any checkpoint says that it is there
                best_adapter.save(self._folder, run.model, position.step)
            self._progress.evaluated(found)
            self.tidy()

    def _evaluated(self) -> Evaluated:
        run = self._run
        if run.preferences is not None:
            return run.preferences.evaluate(run.model, run.row_tokens)
        return evaluate(run.model, run.summed_loss, run.data.held_out_documents(), run.row_tokens)

    def _sample(self) -> None:
        sampler, step = self._run.sampler, self._progress.position.step
        if sampler is None:
            return
        answered = sum(sample.step == step for sample in samples.read(self._folder.samples_file))
        for index in range(answered, len(sampler.prompts)):
            sample = sampler.sample(self._run.model, index, step)
            with self._interruption.deferred():
                samples.append(self._folder.samples_file, sample)
                log.info("step %d  sample %d: %r", step, index + 1, sample.answer)
