"""Findings as a table for people, with the steps that mend what is wrong below it."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lab.doctor.finding import Finding, State

_MARKS = {State.OK: ("✓", "green"), State.WRONG: ("✗", "red"), State.SKIPPED: ("-", "dim")}


def report(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield what `make doctor` shows."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    area = ""
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        heading = "" if finding.area == area else finding.area
        area = finding.area
        # Text, since what was found may look like markup.
        table.add_row(Text(heading, "bold"), Text(mark, colour), Text(finding.what), Text(finding.detail, "dim"))
    yield table
    for finding in wrong(findings):
        yield Text(f"\n✗ {finding.area}, {finding.what}: {finding.detail}", "red")
        for step in finding.steps:
            yield Text(f"    {step}")


def wrong(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that have to be mended."""
    return [finding for finding in findings if finding.state is State.WRONG]
