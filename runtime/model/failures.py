"""What a failure of a computation means. No torch here: a trainer may fail before it has imported it."""

from state.errors import ServiceError

MARKS = (
    "can't allocate memory",  # torch's CPU allocator
    "MPS backend out of memory",
)


class DoesNotFit(ServiceError):
    """A run takes more memory than there is."""

    def __init__(self, message: str, max_seq_length: int | None) -> None:
        """`max_seq_length` is the longest with which it would fit; None where none is short enough."""
        super().__init__(message)
        self.max_seq_length = max_seq_length


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device or of the machine. On a CPU and on MPS torch raises a RuntimeError like any other."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MemoryError", "OutOfMemoryError"}) or any(mark in str(error) for mark in MARKS)
