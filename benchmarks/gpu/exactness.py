"""Whether a GPU computes what a CPU computes, twice the same, and its faster ways what the plain ones do."""

import io
import os
import signal
import time
from typing import Any

import msgspec
import torch
from peft import PeftModel

from benchmarks.gpu.setting import Failed, Setting, Training, make_job, texts, train, trainer
from benchmarks.server import CHECKOUT
from runtime.model import bases, device
from runtime.trainer import lora, packing
from runtime.trainer.documents import whole
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import SummedLoss, one_by_one, packed
from runtime.trainer.optimizer import Optimizer
from state.config import LoraConfig, Precision
from state.jobs import JobFolder

STEPS = 8
# NF4 rounds a few weights otherwise on a GPU, and products add in another order; bf16 keeps 8 bits
FLOAT32_TOLERANCE, BFLOAT16_TOLERANCE, GRADIENT_TOLERANCE = 0.005, 0.03, 0.01
Computed = tuple[float, torch.Tensor]
"""A loss, and all gradients behind one another."""
DOCUMENTS = [whole([(7 * number + 3) % 2000 for number in range(length)]) for length in (60, 9, 33, 2)]


def float32(setting: Setting) -> str:
    """Losses of a training in float32, step by step, against a CPU's."""
    setting.need_gpu("a CPU would be compared with itself")
    return _against_the_cpu(setting, "float32", FLOAT32_TOLERANCE)


def bfloat16(setting: Setting) -> str:
    """The same in bf16, against a CPU's float32."""
    return _against_the_cpu(setting, "bfloat16", BFLOAT16_TOLERANCE)


def _against_the_cpu(setting: Setting, precision: str, tolerance: float) -> str:
    kept = setting.shared / "losses-of-a-cpu.json"
    if not kept.exists():
        on_cpu = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": ""}
        losses = [point.loss for point in train(_job(setting, "cpu", "float32"), on_cpu)]
        kept.write_bytes(msgspec.json.encode(losses))
    expected = msgspec.json.decode(kept.read_bytes(), type=list[float])
    found = [point.loss or 0.0 for point in train(_job(setting, "here", precision))]
    apart = max(abs(mine - theirs) / theirs for mine, theirs in zip(found, expected, strict=True))
    told = f"losses of {STEPS} steps, {found[0]:.4f} to {found[-1]:.4f}, are at most {apart:.3%} from a CPU's float32"
    if not apart <= tolerance:
        raise Failed(f"{told}; {tolerance:.1%} may be")
    return told


def _job(setting: Setting, name: str, precision: str) -> JobFolder:
    settings: Training = {"max_steps": STEPS, "batch_size": 4, "learning_rate": 1e-3, "precision": precision}
    return make_job(setting.job(name), texts(), settings)


def resume(setting: Setting) -> str:
    """A trainer that is killed, and another that goes on, leave the adapter that an undisturbed one leaves."""
    settings = {"max_steps": 40, "batch_size": 2, "save_steps": 4, "learning_rate": 1e-3}
    undisturbed, killed = (
        make_job(setting.job(name), texts(), settings, dropout=0.1) for name in ("undisturbed", "killed")
    )
    losses = [point.loss for point in train(undisturbed)]
    with trainer(killed) as process:
        while not killed.checkpoint_steps() and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            raise Failed(f"the trainer ended with {process.returncode} before it could be killed")
        process.send_signal(signal.SIGKILL)
        process.wait()
    step = killed.newest_checkpoint()
    again = [point.loss for point in train(killed)]
    files = [folder.adapter / "adapter_model.safetensors" for folder in (undisturbed, killed)]
    if files[0].read_bytes() != files[1].read_bytes():
        parted = next((at for at, (one, two) in enumerate(zip(losses, again, strict=True), 1) if one != two), None)
        raise Failed(f"killed after step {step}, the adapter is another one; the losses part at step {parted}")
    return f"killed after step {step} of {settings['max_steps']} and resumed, the adapter is bit for bit the same"


def packed_attention(setting: Setting) -> str:
    """Documents in one row, by flash attention's kernel on a GPU, against one document at a time."""
    calls = []
    in_one_call = packing.in_one_call

    def counted(*arguments: Any) -> torch.Tensor:  # noqa: ANN401
        calls.append(len(DOCUMENTS))
        return in_one_call(*arguments)

    vars(packing)["in_one_call"] = counted
    model, where = _adapted(setting)
    plain = _gradients(model, one_by_one(model, where))
    told = _no_farther(setting, _gradients(model, packed(model, where)), plain)
    if where != "cpu" and not calls:
        raise Failed(f"the GPU's kernel for documents of unequal lengths was not asked; {told}")
    return f"{len(calls)} calls of the GPU's kernel for documents of unequal lengths: {told}"


def fused_lora(setting: Setting) -> str:
    """A 4-bit layer and its LoRA as one operation, against peft's own."""
    model, where = _adapted(setting)
    plain = _gradients(model, one_by_one(model, where))
    fuse(model)
    return _no_farther(setting, _gradients(model, one_by_one(model, where)), plain)


def fused_adamw(setting: Setting) -> str:
    """The optimizer's fused kernel, against torch's plain AdamW."""
    setting.need_gpu("AdamW is fused on CUDA")
    ours, theirs = (_parameters("cuda") for _ in range(2))
    fused = Optimizer(ours, paged_8bit=False)
    plain = torch.optim.AdamW(theirs.values(), lr=1e-3, weight_decay=0.0, foreach=False, fused=False)
    for step in range(STEPS):
        for parameters in (ours, theirs):
            _give_gradients(parameters, step)
        torch.nn.utils.clip_grad_norm_(theirs.values(), 1.0)
        plain.step()
        fused.clip()
        fused.step(1e-3)
    apart = max(float((ours[name] - theirs[name]).detach().abs().max()) for name in ours)
    if not apart <= 1e-5:
        raise Failed(f"after {STEPS} steps of 0.001 values are {apart:.1e} apart")
    return f"after {STEPS} steps of 0.001 values are at most {apart:.1e} apart"


def paged_adamw(setting: Setting) -> str:
    """A small GPU's optimizer, from a checkpoint of its state, against itself undisturbed."""
    setting.need_gpu("bitsandbytes pages on CUDA")
    ours, others = (_parameters("cuda") for _ in range(2))
    undisturbed, resumed = (Optimizer(parameters, paged_8bit=True) for parameters in (ours, others))
    for step in range(STEPS):
        if step == STEPS // 2:
            saved = io.BytesIO()
            torch.save(undisturbed.state(), saved)
            saved.seek(0)
            values = {name: value.detach().cpu() for name, value in ours.items()}
            resumed.restore(torch.load(saved, map_location="cpu", weights_only=True), values.__getitem__)
        for parameters, optimizer in ((ours, undisturbed), (others, resumed)):
            if optimizer is undisturbed or step >= STEPS // 2:
                _give_gradients(parameters, step)
                optimizer.clip()
                optimizer.step(1e-3)
    if not all(torch.equal(ours[name], others[name]) for name in ours):
        raise Failed("a run that goes on from a checkpoint has other values")
    return f"{STEPS} steps with a checkpoint between them leave the same bits"


def _adapted(setting: Setting, precision: Precision | None = None) -> tuple[PeftModel, str]:
    """tiny-python with an adapter whose B is not zero, so that all matrices have gradients."""
    setup = device.pick(precision)
    source = CHECKOUT / "models" / "tiny-python"
    base = bases.load_base(str(source), setup, setting.folder / "bases")
    torch.manual_seed(0)
    model = lora.attach(
        base, LoraConfig(r=8, lora_dropout=0.0, target_modules="all-linear"), "tiny-python", str(source)
    )
    for parameter in lora.trainable(model).values():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.02)
    return model, setup.device


def _gradients(model: PeftModel, summed_loss: SummedLoss) -> Computed:
    loss = summed_loss(DOCUMENTS)
    loss.backward()
    gradients = torch.cat([value.grad.flatten() for value in lora.trainable(model).values() if value.grad is not None])
    model.zero_grad(set_to_none=True)
    return loss.item(), gradients


def _no_farther(setting: Setting, found: Computed, plain: Computed) -> str:
    """Raises Failed where it is clearly farther from float32, computed plainly, than the plain way is."""
    model, where = _adapted(setting, "float32")
    exact = _gradients(model, one_by_one(model, where))
    (loss, gradient), (plain_loss, plain_gradient) = (_apart(computed, exact) for computed in (found, plain))
    told = (
        f"from float32 the loss is {loss:.3%} and the gradients {gradient:.2%} apart, "
        f"the plain way's {plain_loss:.3%} and {plain_gradient:.2%}"
    )
    if not (loss <= BFLOAT16_TOLERANCE and gradient <= 1.5 * plain_gradient + GRADIENT_TOLERANCE):
        raise Failed(told)
    return told


def _apart(computed: Computed, exact: Computed) -> tuple[float, float]:
    loss = abs(computed[0] - exact[0]) / exact[0]
    return loss, float((computed[1] - exact[1]).norm() / exact[1].norm())


def _parameters(where: str) -> dict[str, torch.nn.Parameter]:
    torch.manual_seed(0)
    shapes = {"small": (8, 64), "large": (512, 1024)}
    return {name: torch.nn.Parameter(torch.randn(shape, device=where)) for name, shape in shapes.items()}


def _give_gradients(parameters: dict[str, torch.nn.Parameter], step: int) -> None:
    torch.manual_seed(step)
    for value in parameters.values():
        value.grad = torch.randn_like(value)
