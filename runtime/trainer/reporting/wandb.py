"""Weights & Biases. Account and server are the environment's: WANDB_API_KEY, WANDB_BASE_URL, WANDB_MODE."""

import secrets

import wandb

from runtime.trainer.reporting.run import Beginning, Outcome

INIT_TIMEOUT_S = 20.0  # of its 90: who cannot reach the server reads it soon
RETRIES = 2  # of its 20, likewise; figures that are under way it repeats for hours all the same


class WandbRun:
    """Its files are in the job's `reports/wandb/`. What it knows of the machine and the checkout stays here."""

    def __init__(self, begun: Beginning) -> None:
        self.run_id = begun.run_id or secrets.token_hex(4)
        self._run = wandb.init(
            project=begun.project,
            entity=begun.entity,
            name=begun.name,
            tags=begun.tags or None,
            dir=str(begun.folder),
            config=begun.settings,
            id=self.run_id,
            resume="allow",
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                init_timeout=INIT_TIMEOUT_S,
                x_graphql_retry_max=RETRIES,
            ),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Its own counter orders a run's lines. Given, it goes on in the folder that a resumed job begins offline, and
        `wandb sync` puts the folders together; an evaluation needs a number behind its step's.
        """
        number = 2 * step + any(name.startswith("eval/") for name in figures)
        self._run.log({**figures, "step": step}, step=number, commit=True)

    def flush(self) -> None:
        """Its own process has it by now, and repeats what the server did not take."""

    def end(self, outcome: Outcome) -> None:
        self._run.finish(exit_code=0 if outcome in {"completed", "goes on"} else 1)
