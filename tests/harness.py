"""Run a program against recording mocks and look at every registration. Only this file uses the SDK's internals."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings

CREDENTIALED = ("kubernetes", "proxmoxve")
SECRET = rpc._special_sig_key
_LOOP = asyncio.new_event_loop()


class _Echo(mocks.Mocks):
    def __init__(self, outputs: Mapping[str, Mapping[str, Any]], last: Mapping[str, Any]) -> None:
        self._outputs = outputs
        self._last = last

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return f"{args.name}-id", {**args.inputs, **self._outputs.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> Any:
        assert args.token == "pulumi:pulumi:readStackOutputs", f"an invoke that no test expects: {args.token}"
        return {"name": args.args["name"], "outputs": dict(self._last)}


class Recording(mocks.MockMonitor):
    """Every request of one run, by URN."""

    def __init__(self, outputs: Mapping[str, Mapping[str, Any]], last: Mapping[str, Any]) -> None:
        super().__init__(_Echo(outputs, last))
        self.requests: dict[str, Any] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.exports: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        urn = self.make_urn(request.parent, request.type, request.name)
        assert urn not in self.requests, f"duplicate URN {urn}"
        self.requests[urn] = request
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        self.outputs[request.urn] = rpc.deserialize_properties(request.outputs, keep_unknowns=True)
        return super().RegisterResourceOutputs(request)

    def urns_of(self, typ: str) -> list[str]:
        return [urn for urn, request in self.requests.items() if request.type == typ]

    def urn_of(self, typ: str, name: str | None = None) -> str:
        found = [urn for urn in self.urns_of(typ) if name in (None, self.requests[urn].name)]
        assert len(found) == 1, f"{len(found)} resources of type {typ} and name {name}"
        return found[0]

    def request(self, typ: str, name: str | None = None) -> Any:
        return self.requests[self.urn_of(typ, name)]

    def inputs(self, typ: str, name: str | None = None) -> dict[str, Any]:
        """The inputs as plain values, whether they are marked secret or not."""
        return plain(self.raw_inputs(typ, name))

    def raw_inputs(self, typ: str, name: str | None = None) -> dict[str, Any]:
        """The inputs with the marks of secrets in place."""
        return rpc.deserialize_properties(self.request(typ, name).object, keep_unknowns=True)

    def outputs_of(self, typ: str, name: str | None = None) -> dict[str, Any]:
        return plain(self.outputs[self.urn_of(typ, name)])

    def root(self) -> str:
        return next(urn for urn in self.requests if "::pulumi:pulumi:Stack::" in urn)

    def assert_well_formed(self) -> None:
        """Hold every component to the contract that the engine does not enforce."""
        root = self.root()
        for urn, request in self.requests.items():
            if request.custom and not request.type.startswith("pulumi:providers:"):
                assert request.parent != root, f"{urn} has no component for a parent"
                if request.type.split(":")[0] in CREDENTIALED:
                    assert request.provider, f"{urn} uses a default provider"
            if not request.custom and urn != root and not request.remote:
                assert urn in self.outputs, f"{urn} never called register_outputs"


def use_event_loop() -> None:
    """Set the current event loop: the SDK wants one, and `asyncio.run` in an earlier test leaves none behind."""
    asyncio.set_event_loop(_LOOP)


def record(
    program: Callable[[], object],
    *,
    stack: str = "dev",
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    last: Mapping[str, Any] | None = None,
) -> Recording:
    """Run `program` to its end, every registration included.

    `outputs` adds what a resource type would compute; `last` is what the stack's last update exported.
    """
    use_event_loop()
    settings.set_root_resource(None)  # else exports leak from one run to the next
    recording = Recording(outputs or {}, last or {})
    pulumi.runtime.set_mocks(recording.mocks, "homelab", stack, preview=False, monitor=recording)

    @pulumi.runtime.test
    def run() -> None:
        program()

    run()  # drained: every registration has landed

    @pulumi.runtime.test
    async def export() -> None:
        root = settings.get_root_resource()
        recording.exports = rpc.deserialize_properties(await rpc.serialize_properties(dict(root.outputs), {}))

    export()
    return recording


def is_secret(value: object) -> bool:
    return isinstance(value, dict) and value.get(SECRET) == rpc._special_secret_sig


def is_output_secret(output: pulumi.Output[Any]) -> bool:
    answers: list[bool] = []

    @pulumi.runtime.test
    async def ask() -> None:
        answers.append(await output.is_secret())

    ask()
    return answers[0]


def plain(value: Any) -> Any:
    if is_secret(value):
        return plain(value["value"])
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def open_strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string that no secret mark covers, with its path."""
    if is_secret(value):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from open_strings(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from open_strings(item, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value
