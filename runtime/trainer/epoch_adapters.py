"""The adapters as they were at epochs' ends: `checkpoints/epoch-<n>/`, n the step, in PEFT's own layout.

They answer as models of their own (state/adapter_checkpoints.py). Nobody goes on from them, so they are weights alone,
and a run that goes on from an earlier checkpoint writes the same ones again.
"""

from peft import PeftModel

from runtime.trainer.checkpoint import save_adapter
from state import folders
from state.jobs import JobFolder


def save(folder: JobFolder, model: PeftModel, step: int, keep: int) -> None:
    """Keep the model's adapter, as it is after `step`, durable when this returns; of earlier ones `keep` - 1 stay."""
    folder.checkpoints.mkdir(exist_ok=True)  # no parents: a job's folder that was removed does not come back
    with folders.appearing(folder.epoch(step), replacing=True) as hidden:
        save_adapter(model, hidden)
    earlier = sorted(one for one in folder.epoch_steps() if one <= step)
    for one in earlier[:-keep]:
        folders.vanish(folder.epoch(one))
