"""A Helm chart repository, packaged by the real helm from the charts in `sandbox/charts`."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from aiohttp import web

from sandbox.children import environment
from sandbox.cluster.controlplane import Tools
from toolchain.charts import CHARTS

SOURCES: Final = Path(__file__).resolve().parent.parent / "charts"


class ChartError(RuntimeError):
    """helm refused a chart of the sandbox; the message is helm's."""


async def build_repository(folder: Path, tools: Tools, argocd_crds: Path) -> None:
    """Package every chart of the sandbox into ``folder`` with an index.

    ``argocd_crds`` holds Argo CD's own custom resource definitions: they come with its source, not with this project.

    Raises:
        ChartError: a chart is not valid.
    """
    fresh = folder.with_name(f"{folder.name}.new")  # what is served stays whole until the new one is
    shutil.rmtree(fresh, ignore_errors=True)
    work = fresh / "work"
    shutil.copytree(SOURCES, work)
    shutil.copytree(argocd_crds, work / "argo-cd" / "crds", ignore=shutil.ignore_patterns("kustomization.yaml"))
    for name, chart in CHARTS.items():
        pins = ("--version", chart.version, "--app-version", chart.app_version)
        await _helm(tools, fresh, "package", str(work / name), *pins, "--destination", str(fresh))
    await _helm(tools, fresh, "repo", "index", str(fresh))
    shutil.rmtree(work)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)


async def _helm(tools: Tools, home: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(tools.executable("helm")),
        *arguments,
        env=environment(HOME=str(home)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise ChartError(f"helm {arguments[0]}: {output.decode(errors='replace').strip()}")


def add_routes(app: web.Application, folder: Path) -> None:
    """Serve the repository at `/charts`."""
    app.router.add_static("/charts", folder)
