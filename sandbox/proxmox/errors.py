"""How Proxmox VE says no: an HTTP answer for what is refused at once, a failed task for what goes wrong later."""

from collections.abc import Mapping


class ApiError(Exception):
    """A refused request: HTTP status, the text that also becomes the reason phrase, and errors by parameter."""

    def __init__(self, status: int, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = dict(errors or {})


class ParameterError(ApiError):
    """Parameters that the schema of an endpoint does not allow."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(400, "Parameter verification failed.", errors)

    def __str__(self) -> str:
        return f"{self.message} {'; '.join(f'{name}: {problem}' for name, problem in sorted(self.errors.items()))}"


class NotServedError(ApiError):
    """Something that a real host has and this stand-in does not: said aloud, so that nothing is ever faked."""

    def __init__(self, what: str) -> None:
        super().__init__(501, f"{what} not implemented")


class RefusedError(ApiError):
    """A rule of the data centre was broken: status 500 with the reason, or the error of the task it happens in."""

    def __init__(self, message: str) -> None:
        super().__init__(500, message)
