"""What was looked at, how it stands, and what to do when it does not stand well."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How something stands."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One answer. ``detail`` is what was found or why it was not looked at; ``steps`` are what to do, in order."""

    area: str
    what: str
    state: State
    detail: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Area:
    """The findings of one area, each made with few words."""

    name: str

    def ok(self, what: str, detail: str = "") -> Finding:
        """Return that something stands well."""
        return Finding(self.name, what, State.OK, detail)

    def wrong(self, what: str, detail: str, *steps: str) -> Finding:
        """Return that something has to be mended by ``steps``."""
        return Finding(self.name, what, State.WRONG, detail, steps)

    def skipped(self, what: str, reason: str, *steps: str) -> Finding:
        """Return that something could not or need not be looked at."""
        return Finding(self.name, what, State.SKIPPED, reason, steps)
