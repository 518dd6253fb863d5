"""Put a resource plugin where the engine looks, by the engine's own command."""

import os
from pathlib import Path

from toolchain.cache import Cache
from toolchain.model import Tool
from toolchain.progress import Task
from toolchain.run import run


def install_plugin(tool: Tool, binary: Path, pulumi: Path, cache: Cache, task: Task) -> None:
    """Install a plugin under exactly its version, over a half-installed one if need be."""
    task.step("installing the plugin")
    env = {**os.environ, "PULUMI_HOME": str(cache.pulumi_home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    what = ["plugin", "install", "resource", tool.plugin, tool.version]
    how = ["--file", str(binary), "--reinstall", "--exact", "--non-interactive", "--color", "never"]
    run([pulumi, *what, *how], cwd=binary.parent, env=env, log=cache.log(tool.name), task=task)
