import subprocess
import sys

from tests.server import CHECKOUT, Server


def test_health_tells_version_device_and_slots(queueing: Server) -> None:
    reply = queueing.get("/health").json()

    assert reply["status"] == "ok"
    assert reply["device"] in {"cpu", "cuda", "mps"}
    assert reply["slots"] == {"total": 0, "busy": 0}
    assert reply["current_adapter"] is None
    assert set(reply) == {"status", "version", "device", "device_name", "slots", "current_adapter"}


def test_a_server_imports_no_torch() -> None:
    """The whole application is built; torch and its kin stay out, and with them two seconds of start-up."""
    heavy = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "huggingface_hub", "numpy", "gguf")
    program = f"import sys, main, handlers; handlers.find_handlers(); print(set({heavy}) & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
