"""The tools that the lab runs on, each in its pinned version: `ensure()` finds or obtains them all."""

from toolchain.errors import ToolchainError
from toolchain.obtain import Road, Status, Toolchain, ensure, survey
from toolchain.progress import Progress

__all__ = ["Progress", "Road", "Status", "Toolchain", "ToolchainError", "ensure", "survey"]
