"""What is wrong with a lab's configuration, in words that lead to the right one."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing to correct: where it is, what is there, and what would be right."""

    path: str
    value: object
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        return f"{self.path}{shown}: {self.problem}. Fix: {self.fix}."


class LabError(ValueError):
    """The data is no usable lab; `faults` says why."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
