"""Argo CD's applications, asked of the cluster: which there are, and what is wrong with those that are not well."""

import json
from typing import Any

from lab.cluster import Run
from lab.stack import StackError
from providers.argocd_status import Look, is_well, reasons, told


def listed(run: Run, *what: str) -> list[dict[str, Any]]:
    """Return objects of the cluster.

    Raises:
        StackError: it does not answer.
    """
    done = run("kubectl", "get", *what, "--output=json", "--request-timeout=20s")
    if done.returncode:
        raise StackError(f"the cluster does not answer: {done.stderr.strip()}")
    return list(json.loads(done.stdout)["items"])


def applications(run: Run) -> list[dict[str, Any]]:
    """Return the applications."""
    return listed(run, "applications.argoproj.io", "--namespace", "argocd")


def problems(run: Run, delivered: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return a line for each of ``delivered`` that is not well, and whether time may mend all of them."""
    lines, may_pass = [], True
    for one in delivered:
        if not is_well(one):
            home = ("--namespace", one["spec"]["destination"]["namespace"])
            look = Look(one, listed(run, "pods", *home), listed(run, "events", *home))
            lines.append(told(look))
            may_pass &= not any(reasons(look))
    return lines, may_pass
