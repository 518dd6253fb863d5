"""What is being done right now, and for how long: one line per step, live on a terminal, plain in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.status import Status

PLAIN_INTERVAL = 15.0
_MINUTE = 60


@dataclass(frozen=True)
class Progress:
    """One moment of one step."""

    tool: str
    step: str
    seconds: float
    done: bool = False


OnProgress = Callable[[Progress], None]


class Task:
    """The steps of getting one tool, timed from the start."""

    def __init__(self, tool: str, on_progress: OnProgress) -> None:
        self.tool = tool
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._step = ""

    @property
    def seconds(self) -> float:
        """Time since the first step."""
        return time.monotonic() - self._started

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._step = text
        self.tick()

    def tick(self) -> None:
        """Say that the step goes on."""
        self._on_progress(Progress(self.tool, self._step, self.seconds))

    def note(self, text: str) -> None:
        """Tell something that stays on the screen while the step goes on."""
        self._on_progress(Progress(self.tool, text, self.seconds, done=True))

    def done(self, text: str) -> None:
        """Tell how it ended."""
        self._on_progress(Progress(self.tool, text, self.seconds, done=True))


class PlainReporter:
    """Lines for a file or a pipe: each step when it begins, then one every 15 seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: tuple[str, str] = ("", "")
        self._shown_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show it, unless the same was shown just now."""
        key = (progress.tool, progress.step)
        if not progress.done and key == self._shown and progress.seconds - self._shown_at < PLAIN_INTERVAL:
            return
        self._shown, self._shown_at = key, progress.seconds
        print(_line(progress), file=self._stream, flush=True)


class LiveReporter:
    """One line that is rewritten while a step runs, for a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __call__(self, progress: Progress) -> None:
        """Rewrite the line, or leave it behind for good when the step is done."""
        line = Text(_line(progress))
        if progress.done:
            self.stop()
            self._console.print(line)
        elif self._status:
            self._status.update(line)
        else:
            self._status = self._console.status(line)
            self._status.start()

    def stop(self) -> None:
        """Take the line away and give the cursor back."""
        if self._status:
            self._status.stop()
            self._status = None


@contextmanager
def on_terminal() -> Iterator[OnProgress]:
    """Report on standard error, in the way that fits it."""
    if not sys.stderr.isatty():
        yield PlainReporter(sys.stderr)
        return
    live = LiveReporter(Console(stderr=True))
    try:
        yield live
    finally:
        live.stop()


def _line(progress: Progress) -> str:
    return f"{progress.tool:<16} {progress.step} ({clock(progress.seconds)})"


def clock(seconds: float) -> str:
    """Write a duration the short way: `7 s`, `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
