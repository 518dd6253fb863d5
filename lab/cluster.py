"""The toolchain's programs against a stack's cluster: the kubeconfig lies in a file of its own as long as they run."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.pki import write_private
from toolchain import Toolchain

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@contextmanager
def cluster_programs(tools: Toolchain, kubeconfig: str) -> Iterator[Run]:
    """Give a function that runs a program by name with its arguments, and captures what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        write_private(path, kubeconfig.encode())

        def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [str(tools.executable(program)), *arguments, f"--kubeconfig={path}"],
                env={**os.environ, "HOME": folder},
                capture_output=True,
                text=True,
                check=False,
            )

        yield run
