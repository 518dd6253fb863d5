"""What the state keeps of a provider, and what the engine prints of its failures."""

import base64
import importlib
import logging
import pickle
import sys

import dill
import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.output import Unknown

from providers.base import QUIET, Provider, ProviderError, is_unknown
from providers.generated import SshKeyProvider, TokenProvider
from providers.k3s import K3sNodeProvider
from providers.kubeconfig import K3sKubeconfigProvider
from providers.pfsense import AliasProvider, ApplyProvider, HostOverrideProvider, RuleProvider, StaticMappingProvider

PFSENSE = [AliasProvider, RuleProvider, HostOverrideProvider, StaticMappingProvider, ApplyProvider]
PROVIDERS = [TokenProvider, SshKeyProvider, K3sNodeProvider, K3sKubeconfigProvider, *PFSENSE]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_kept_as_the_name_of_its_class_and_nothing_else(provider: type[Provider]) -> None:
    blob = base64.b64decode(serialize_provider(provider()))
    assert blob == base64.b64decode(serialize_provider(provider()))
    assert len(blob) < 100, "the class was pickled by value, so every edit of its code would change the state"
    assert dill.dumps(provider(), recurse=True) == dill.dumps(provider(), recurse=True)
    assert type(pickle.loads(blob)) is provider  # noqa: S301 - made two lines above


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_no_secret_so_that_its_diff_can_be_read(provider: type[Provider]) -> None:
    assert provider.serialize_as_secret_always is False
    assert vars(provider()) == {}


def test_a_provider_that_is_loaded_again_is_the_same_blob() -> None:
    before = serialize_provider(TokenProvider())
    module = importlib.reload(sys.modules["providers.generated"])
    assert serialize_provider(module.TokenProvider()) == before


def test_our_own_failures_print_no_stack_trace_and_others_do(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("grpc._server")
    TokenProvider().configure(ConfigureRequest(None))  # type: ignore[arg-type]
    try:
        for error in (ProviderError("ours"), ValueError("not ours")):
            logger.error("call failed", exc_info=error)
    finally:
        logger.removeFilter(QUIET)
    assert [record.exc_info[1].args[0] for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        "not ours"
    ]


def test_an_unknown_value_is_found_at_any_depth() -> None:
    assert is_unknown([{"key": Unknown()}])
    assert not is_unknown([{"key": "known"}, 1, None])
