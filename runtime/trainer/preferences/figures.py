"""What pairs measure: the loss, and what TRL logs beside it."""

from msgspec import Struct


class Figures(Struct, frozen=True, kw_only=True):
    """Sums over `pairs` pairs.

    The reward of an answer is beta times how much more likely, in nats, it is to the model than to the reference;
    `preferred` counts the pairs whose chosen answer has the greater one.
    """

    pairs: int = 0
    loss: float = 0.0
    rewards_chosen: float = 0.0
    rewards_rejected: float = 0.0
    preferred: float = 0.0
    logps_chosen: float = 0.0
    logps_rejected: float = 0.0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def mean(self, name: str) -> float:
        return float(getattr(self, name)) / max(self.pairs, 1)

    def of_training(self) -> dict[str, float]:
        """The fields of a line of metrics.jsonl; none where there are no pairs."""
        if not self.pairs:
            return {}
        means = ("rewards_chosen", "rewards_rejected", "logps_chosen", "logps_rejected")
        return {name: self.mean(name) for name in means} | self._compared()

    def of_evaluation(self) -> dict[str, float]:
        """Those of an evaluation's line, beside its loss; none where there are no pairs."""
        if not self.pairs:
            return {}
        return {f"eval_{name}": value for name, value in self._compared().items()}

    def _compared(self) -> dict[str, float]:
        margins = self.mean("rewards_chosen") - self.mean("rewards_rejected")
        return {"rewards_accuracies": self.mean("preferred"), "rewards_margins": margins}
