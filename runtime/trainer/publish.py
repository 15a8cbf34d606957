"""The end of a run: the adapter in the job's folder, under `adapters/<name>`, and where `output_dir` asks for it."""

import logging
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import structs
from peft import PeftModel

from runtime.trainer import checkpoint
from state import adapter_places, adapters, chat_templates, clock, folders, initial_adapters, jobs, names, store
from state.adapters import AdapterRecord, ChatSettings, Results
from state.errors import ServiceError
from state.folders import Taken
from state.jobs import Job, JobFolder
from state.root import DataRoot

log = logging.getLogger("trainer")


def build(folder: JobFolder, model: PeftModel, job: Job, results: Results, chat: ChatSettings) -> None:
    """Write the finished adapter to the job's `adapter/`, complete or not at all.

    `job` has the settings that the run really had; `chat` is how the adapter is to be asked.
    """
    record = AdapterRecord(
        model_name=job.model_name,
        created_at=clock.now(),
        description=job.description,
        job_id=folder.job_id,
        output_dir=job.output_dir,
        training_config=_settings(job, model),
        metrics=results,
        chat=structs.replace(chat, template=None),
        init_adapter=None if job.init_adapter is None else initial_adapters.origin(folder.init_adapter),
    )
    if folder.adapter.exists():
        folders.vanish(folder.adapter)
    with folders.appearing(folder.adapter) as hidden:
        checkpoint.save_adapter(model, hidden)
        (hidden / adapters.RECORD).write_bytes(store.pretty(record))
        if chat.template is not None:
            (hidden / chat_templates.FILE).write_text(chat.template, encoding="utf-8")
        (hidden / "README.md").write_text(_model_card(jobs.adapter_name(folder, job), job, model, record, chat))


def check(root: DataRoot, job: Job) -> None:
    """Refuse before the training what would fail after it. Raises ServiceError."""
    if job.adapter_name is not None:
        names.check_adapter("adapter_name", job.adapter_name)
    if job.output_dir is not None:
        root.output_folder(job.output_dir)


def publish(root: DataRoot, folder: JobFolder, job: Job) -> str:
    """Give the finished adapter its name and its second place; returns the name.

    Where another adapter has the name by now, a number is put behind it: a training is not lost for a name. What an
    interrupted publication of this same job left is replaced.
    """
    wanted = jobs.adapter_name(folder, job)
    possible = [wanted, *(f"{wanted[:95]}-{number}" for number in range(2, 1000))]
    own = {path.name for path in adapters.all_folders(root) if adapter_places.belongs_to(path, folder.job_id)}
    for name in sorted(possible, key=lambda name: name not in own):
        try:
            _link_into(folder, root.adapters / name)
            break
        except Taken:
            log.warning("adapters/%s was taken while the job ran", name)
    else:
        raise ServiceError(f"adapters/{wanted} is taken, and a thousand names like it")
    if job.output_dir is not None:
        _link_into(folder, root.output_folder(job.output_dir) / name)
    return name


def _link_into(folder: JobFolder, target: Path) -> None:
    if target.exists() and adapter_places.belongs_to(target, folder.job_id):
        folders.vanish(target)
    adapter_places.link_into(folder.adapter, target, folder.job_id)


def _settings(job: Job, model: PeftModel) -> dict[str, object]:
    """Both configurations in one, as `GET /api/adapters/<name>` shows them."""
    targets = sorted(model.active_peft_config.target_modules)
    lora: dict[str, object] = msgspec.to_builtins(job.lora)
    training: dict[str, object] = msgspec.to_builtins(job.training_config)
    data = {"data_sha256": job.data_sha256, "eval_sha256": job.eval_sha256}
    return {**lora, "target_modules": targets, **training, "seed": job.seed, **data}


def _continued(record: AdapterRecord) -> str:
    origin = record.init_adapter
    return "" if origin is None else f"Trained on from the adapter `{origin.name}` (SHA-256 {origin.sha256[:16]}…)."


def _model_card(name: str, job: Job, model: PeftModel, record: AdapterRecord, chat: ChatSettings) -> str:
    base = model.active_peft_config.base_model_name_or_path
    settings = "\n".join(f"| {key} | {value} |" for key, value in record.training_config.items())
    measured = {key: value for key, value in msgspec.to_builtins(record.metrics).items() if value is not None}
    results = "\n".join(f"| {key} | {value} |" for key, value in measured.items())
    return f"""---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- qlora
---
# {name}

{job.description or "A LoRA adapter, trained with Lathe by QLoRA on a base in 4-bit NF4."}

Base model: `{job.model_name}`. {_continued(record)}
Made {record.created_at:%Y-%m-%d} by job `{record.job_id}` with peft {version("peft")},
transformers {version("transformers")}, torch {version("torch")}, bitsandbytes {version("bitsandbytes")}.
{_asked(chat)}
| result | value |
| --- | --- |
{results}

| setting | value |
| --- | --- |
{settings}

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "path/of/this/folder")
```
"""


def _asked(chat: ChatSettings) -> str:
    """What a program has to do that does not read adapter.json."""
    switches = ", ".join(f"`{name}={value}`" for name, value in chat.switches.items())
    stops = ", ".join(f"`{token}`" for token in chat.stop_tokens)
    said = [
        f"Its chat template is `{chat_templates.FILE}`, not the base's own." if chat.template else "",
        f"It was trained with the template's {switches}." if switches else "",
        f"Its answers also end with {stops}, at which the base does not stop by itself." if stops else "",
    ]
    return "\n".join(["", *filter(None, said), ""]) if any(said) else ""
