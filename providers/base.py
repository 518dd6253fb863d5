"""What all dynamic providers here share: a state blob that names the class and holds nothing else."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pulumi
from pulumi.dynamic import ConfigureRequest, ResourceProvider
from pulumi.output import Unknown

Props = dict[str, Any]


class ProviderError(Exception):
    """A failure that already says what happened and what to do, so that a stack trace would only bury it."""


class QuietTraceback(logging.Filter):
    """Drop the stack trace that gRPC prints for each failed call, when the failure is one of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record that is not about a `ProviderError`: the engine prints those messages itself."""
        return not (record.exc_info and isinstance(record.exc_info[1], ProviderError))


QUIET = QuietTraceback()


class Provider(ResourceProvider):
    """Pickle to a reference to the class: stable between runs, free of secrets, and therefore no secret itself."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:  # noqa: ARG002 - no provider here takes configuration
        """Prepare the process that serves the provider; instances stay empty."""
        logging.getLogger("grpc._server").addFilter(QUIET)


def is_unknown(value: object) -> bool:
    """Tell whether a preview does not know the value yet."""
    if isinstance(value, Mapping):
        return any(is_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_unknown(item) for item in value)
    return isinstance(value, Unknown)


def changed(olds: Mapping[str, Any], news: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Return the keys whose values differ."""
    return [key for key in keys if olds.get(key) != news.get(key)]


def secret_outputs(opts: pulumi.ResourceOptions | None, names: list[str]) -> pulumi.ResourceOptions:
    """Return `opts` with the named outputs always encrypted: a dynamic provider echoes its inputs unmarked."""
    marked = pulumi.ResourceOptions(additional_secret_outputs=names)
    return pulumi.ResourceOptions.merge(opts, marked)
