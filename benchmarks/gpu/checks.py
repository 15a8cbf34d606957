"""What is checked, most important first. Standard library only: it is read before anything else can be imported."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`name` is a module of this package and a function in it; `limit_s` is what it may take at most."""

    name: str
    limit_s: float


CHECKS = (
    Check("machine.look", 60),
    Check("exactness.float32", 75),
    Check("exactness.bfloat16", 75),
    Check("exactness.resume", 100),
    Check("exactness.packed_attention", 45),
    Check("exactness.fused_lora", 45),
    Check("exactness.fused_adamw", 45),
    Check("exactness.paged_adamw", 45),
    Check("paging.pages", 45),
    Check("paging.graphs", 45),
    Check("paging.left_memory", 30),
    Check("product.forecast", 90),
    Check("product.side_by_side", 75),
    Check("product.export", 75),
    Check("product.spare", 75),
    Check("product.end_to_end", 75),
    Check("figures.base", 100),
    Check("figures.lathe", 150),
    Check("figures.usual", 100),
    Check("figures.bf16", 100),
    Check("figures.serving", 120),
    Check("paging.speed", 90),
)
