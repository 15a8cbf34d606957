"""What a failure of a computation means. No torch here: a trainer may fail before it has imported it."""

MARKS = (
    "can't allocate memory",  # torch's CPU allocator
    "MPS backend out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device or of the machine. On a CPU and on MPS torch raises a RuntimeError like any other."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MemoryError", "OutOfMemoryError"}) or any(mark in str(error) for mark in MARKS)
