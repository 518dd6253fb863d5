"""Tokens and key pairs: random, usable, and never changed behind anyone's back."""

import asyncssh

from providers.generated import GeneratedToken, SshKey, SshKeyProvider, TokenProvider
from tests.harness import record


def test_a_token_has_the_size_asked_for_and_is_another_one_each_time() -> None:
    first, second = (TokenProvider().create({"size": 16}).outs for _ in range(2))
    assert first is not None
    assert second is not None
    assert len(bytes.fromhex(first["value"])) == 16
    assert first["value"] != second["value"]


def test_a_token_is_replaced_only_when_another_size_is_asked_for() -> None:
    olds = {"size": 32, "value": "kept", "__provider": "old blob"}
    assert TokenProvider().diff("id", olds, {"size": 32, "__provider": "new blob"}).changes is False
    assert TokenProvider().diff("id", olds, {"size": 64}).replaces == ["size"]


def test_a_key_pair_belongs_together_and_carries_its_comment() -> None:
    outs = SshKeyProvider().create({"comment": "lab"}).outs
    assert outs is not None
    private = asyncssh.import_private_key(outs["private_key"])
    public = asyncssh.import_public_key(outs["public_key"])
    assert private.public_data == public.public_data
    assert outs["public_key"].split()[::2] == ["ssh-ed25519", "lab"]


def test_a_key_pair_is_never_replaced_since_machines_know_only_the_first() -> None:
    assert SshKeyProvider().diff("id", {"comment": "a"}, {"comment": "b"}).changes is False


def test_the_secret_halves_are_encrypted_whatever_the_provider_returns() -> None:
    recording = record(lambda: (GeneratedToken("token"), SshKey("key")))
    assert recording.inputs("pulumi-python:dynamic/generated:Token")["size"] == 32
    marked = {request.type: list(request.additionalSecretOutputs) for request in recording.requests.values()}
    assert marked["pulumi-python:dynamic/generated:Token"] == ["value"]
    assert marked["pulumi-python:dynamic/generated:SshKey"] == ["private_key"]


def test_the_key_pair_is_named_after_its_resource() -> None:
    recording = record(lambda: SshKey("compute-key"))
    assert recording.inputs("pulumi-python:dynamic/generated:SshKey")["comment"] == "compute-key"
