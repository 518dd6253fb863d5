"""Refusals in pfSense's words: a status, a name that clients can rely on, and a sentence."""

from http import HTTPStatus


class RestError(Exception):
    """What the API answers instead of data."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, response_id: str, message: str) -> None:
        super().__init__(message)
        self.response_id = response_id
        self.message = message


class InvalidError(RestError):
    """A value that is refused."""


class UnauthorizedError(RestError):
    """No key, or one that is not known."""

    status = HTTPStatus.UNAUTHORIZED


class ForbiddenError(RestError):
    """Something that is not allowed, to this key or to anybody."""

    status = HTTPStatus.FORBIDDEN


class AbsentError(RestError):
    """An object that is not there."""

    status = HTTPStatus.NOT_FOUND


class MethodError(RestError):
    """A method that the endpoint does not have."""

    status = HTTPStatus.METHOD_NOT_ALLOWED


class ConflictError(RestError):
    """Something that another object stands against."""

    status = HTTPStatus.CONFLICT


class NotServedError(RestError):
    """Something that pfSense has and this stand-in does not."""

    status = HTTPStatus.NOT_IMPLEMENTED

    def __init__(self, what: str) -> None:
        super().__init__("SANDBOX_NOT_SERVED", f"{what} is not part of this stand-in")


class InjectedError(RestError):
    """What `sandbox fault` asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("SANDBOX_FAULT", message)
        self.status = HTTPStatus(status)
