"""What libraries say that is of no use to whoever reads a trainer's or a server's log."""

import logging
import warnings


def hush_libraries() -> None:
    for informative in ("httpx", "httpx2", "huggingface_hub", "watchfiles"):
        logging.getLogger(informative).setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels on the hub that nobody asked for
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # peft's call, not ours
