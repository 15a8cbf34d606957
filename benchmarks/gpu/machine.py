"""What machine this is, and whether bitsandbytes computes on it."""

import platform
import subprocess
from importlib.metadata import version
from shutil import which

import torch
from bitsandbytes import cextension
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

from benchmarks.gpu.setting import Failed, Setting

NF4_ERROR = 0.1  # of the values' norm; normally distributed ones in blocks of 64 lose some 0.09


def look(_: Setting) -> str:
    """Versions, and a matrix to NF4 and back."""
    names = ("torch", "transformers", "peft", "bitsandbytes")
    found = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names), _device()]
    torch.manual_seed(0)
    values = torch.randn(256, 512, device="cuda" if torch.cuda.is_available() else "cpu")
    packed, state = quantize_4bit(values, quant_type="nf4", compress_statistics=True)
    lost = ((dequantize_4bit(packed, state) - values).norm() / values.norm()).item()
    library = type(cextension.lib).__name__
    if torch.cuda.is_available() and not cextension.lib.compiled_with_cuda:
        raise Failed(f"bitsandbytes has no CUDA library that loads: {library}")
    if not lost < NF4_ERROR:
        raise Failed(f"NF4 loses {lost:.3f} of a matrix")
    return f"{', '.join(found)}; bitsandbytes' library loads ({library}), NF4 loses {lost:.3f}"


def _device() -> str:
    if not torch.cuda.is_available():
        return f"no GPU, {torch.get_num_threads()} threads"
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() if which(asked[0]) else ""
    gpu = torch.cuda.get_device_properties(0)
    return f"CUDA {torch.version.cuda}, compute {gpu.major}.{gpu.minor}, {told.splitlines()[0] if told else gpu.name}"
