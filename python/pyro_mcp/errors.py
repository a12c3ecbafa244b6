"""What goes wrong, as exceptions.

Every one is a ``PyroError`` with a ``kind`` from a closed list, a ``message``, its ``causes`` and a ``hint`` that says what
to do next. A command that ends with an exit code other than 0 is no error, but a result.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["ErrorKind", "InvalidArgumentError", "NotFoundError", "PyroError", "TimedOutError"]

ErrorKind = Literal[
    "invalid_argument",
    "not_found",
    "already_exists",
    "wrong_state",
    "unsupported_host",
    "unsupported",
    "environment_unavailable",
    "start_failed",
    "guest_unreachable",
    "exec_not_started",
    "service_failed",
    "timeout",
    "output_closed",
    "interrupted",
    "unsafe_path",
    "version_mismatch",
    "limit_reached",
    "disk_full",
    "io",
    "internal",
]


class PyroError(Exception):
    """A failure of pyro."""

    #: What kind of failure this is.
    kind: ErrorKind
    #: What was being done, to what.
    message: str
    #: Why it failed: the outermost cause first.
    causes: tuple[str, ...]
    #: What to do next, where there is something.
    hint: str | None

    def __init__(
        self, message: str, kind: ErrorKind = "internal", causes: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        # The message alone: the class that has a time-out in Python takes several arguments for the number of a system's
        # error, its text and two paths.
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.causes = causes
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.kind, self.causes, self.hint), self.__dict__

    def __str__(self) -> str:
        text = ": ".join((self.message, *self.causes))
        return text if self.hint is None else f"{text}\nhint: {self.hint}"


class NotFoundError(PyroError, LookupError):
    """The named environment, workspace, file or command does not exist."""


class InvalidArgumentError(PyroError, ValueError):
    """An argument is malformed or out of range, or leads where it must not (kind ``unsafe_path``)."""


class TimedOutError(PyroError, TimeoutError):
    """pyro itself ran out of time. (A command that does is a result, with ``timed_out``.)"""


_CLASSES: dict[str, type[PyroError]] = {
    "not_found": NotFoundError,
    "invalid_argument": InvalidArgumentError,
    "unsafe_path": InvalidArgumentError,
    "timeout": TimedOutError,
}


def _exception(kind: ErrorKind, chain: tuple[str, ...], hint: str | None) -> PyroError:
    """The exception of an error: its message and every cause below it, outermost first."""
    message, *causes = chain
    return _CLASSES.get(kind, PyroError)(message, kind, tuple(causes), hint)
