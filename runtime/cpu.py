"""How torch uses a CPU beside others, and how much it remembers. Variables that its libraries read when they load."""

import os

SETTINGS = {
    # A trainer, the inference worker and the user's own programs share the cores. Threads that spin for a partner which
    # has no core hold the core that it needs: beside another two-thread torch process on 2 cores, a training of 20
    # steps took 134 s spinning and 5 s sleeping (GNU OpenMP, torch 2.13).
    "OMP_WAIT_POLICY": "PASSIVE",
    # torch and oneDNN keep what they compiled for each shape of a matrix product, 1,024 of them, and packed steps
    # hardly ever have one shape twice: 60 steps of tiny-python grew to 2168 MB so, with these to 549, at equal speed
    # (6.3 and 6.7 thousand tokens/s; either alone: 1190 and 1773 MB).
    "LRU_CACHE_CAPACITY": "8",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}


def prepare() -> None:
    """To be called before torch is imported. What the user has set stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
