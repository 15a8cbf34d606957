"""Two names that change places in one step, so that each of them is there at any moment.

Linux has it as renameat2(2) with RENAME_EXCHANGE, on ext4, XFS, Btrfs and tmpfs among others; NFS refuses it. Python's
os module does not offer it.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)


def names(one: Path, other: Path) -> bool:
    """Exchange two paths of one file system; False where that cannot be had, and nothing is changed.

    Raises FileNotFoundError when one of them is missing, OSError when the file system refuses.
    """
    if _renameat2 is None:
        return False
    sys.audit("os.rename", one, other, -1, -1)  # as os.rename itself announces what it is about to do
    if _renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _found() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # absent from C libraries before 2018
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        function.restype = ctypes.c_int
    return function


_renameat2 = _found()
