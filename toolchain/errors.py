"""The one error of this package. It says what failed, why, and what to run next."""

from pathlib import Path


class ToolchainError(Exception):
    """A tool that cannot be had, told so that the reader knows the next step."""

    def __init__(self, problem: str, advice: str, *, tool: str = "", output: str = "", log: Path | None = None) -> None:
        self.problem = problem
        self.advice = advice
        self.tool = tool
        self.output = output
        self.log = log
        super().__init__(problem)

    def __str__(self) -> str:
        """Tell it in lines: the problem, the last output, where the rest is, the next step."""
        lines = [f"{self.tool}: {self.problem}" if self.tool else self.problem]
        lines += [f"  | {line}" for line in self.output.splitlines()]
        if self.log:
            lines.append(f"  full log: {self.log}")
        lines.append(f"  next: {self.advice}")
        return "\n".join(lines)
