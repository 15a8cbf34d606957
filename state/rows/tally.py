"""How many rows there are, and which."""

import hashlib


class Tally:
    """Counts rows in their canonical form as they pass."""

    def __init__(self) -> None:
        self.num_rows = 0
        self._sha256 = hashlib.sha256()

    def add(self, line: bytes) -> None:
        """A row, with its line end."""
        self.num_rows += 1
        self._sha256.update(line)

    @property
    def sha256(self) -> str:
        """That of the file that holds these rows, one a line: `sha256sum data/train.jsonl` of a job says the same."""
        return self._sha256.hexdigest()
