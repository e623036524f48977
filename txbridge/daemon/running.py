"""Runs one command in the reactor and turns what becomes of it into an exit status.

Exit statuses:

===  ==============================================================================
  0  done
  1  failed; stderr has a line about it
  2  the arguments or the environment say something that cannot be run
 69  the hub, the Joule node or the iobeam service cannot be reached
 77  the hub or the Joule node refuses the key, or the iobeam service the token
 78  the configuration of a relay says something that cannot be run
130  stopped with Ctrl-C (and 143 with SIGTERM), where stopping is not the usual end
141  nobody reads the output any more
===  ==============================================================================

A command is a coroutine.  A signal cancels it, and it may take its time to put things in order; a
second signal does not wait for that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import (
    AuthError,
    BridgeError,
    ConnectError,
    ConnectionLost,
    Forbidden,
    NotFound,
    ServerFailed,
    TimedOut,
)
from txbridge.iobeam.errors import Error, TokenRefused, UnauthorizedError
from txbridge.joule.errors import ApiError

__all__ = [
    "DONE",
    "FAILED",
    "KEY_WORDS",
    "MISCONFIGURED",
    "NOBODY_READS",
    "REFUSED",
    "UNREACHABLE",
    "USAGE",
    "explain",
    "run",
    "status_of",
]

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 69  # EX_UNAVAILABLE
REFUSED = 77  # EX_NOPERM
MISCONFIGURED = 78  # EX_CONFIG
BY_SIGNAL = 128
NOBODY_READS = BY_SIGNAL + signal.SIGPIPE

KEY_WORDS = "--api-key-file, TXBRIDGE_API_KEY or TXBRIDGE_API_KEY_FILE gives it"

_log = Logger()


def status_of(error: BaseException | None) -> int:
    """The exit status that an error ends a command with."""
    if isinstance(error, ConnectError | ConnectionLost | TimedOut):
        return UNREACHABLE
    if isinstance(error, AuthError | Forbidden):
        return REFUSED
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS
    return FAILED


def explain(error: BridgeError) -> str:
    """An error as a line for the person at the terminal."""
    if isinstance(error, ApiError):
        return _explain_node(error)
    if isinstance(error, Error | UnauthorizedError):
        return _explain_iobeam(error)
    if isinstance(error, ConnectError):
        return f"{error}; is a hub running there? TXBRIDGE_URL says where it is, 'txbridge hub' starts one"
    if isinstance(error, AuthError):
        return f"the hub refuses the key; {KEY_WORDS}"
    if isinstance(error, Forbidden):
        return f"the key may not do this ({error.detail or error.title or 'forbidden'})"
    if isinstance(error, NotFound):
        said = str(error.detail or error.title or error.status).rstrip(".")
        return (
            f"there is no such feed or datastream, or the key may not see it ({said}); "
            "'txbridge feeds' lists what the key may see"
        )
    if isinstance(error, ServerFailed):
        return f"the hub says: {error.detail or error.title or error.status}"
    return str(error)


def _explain_node(error: ApiError) -> str:
    if isinstance(error, AuthError | Forbidden):
        return "the node refuses the key; --node or TXBRIDGE_JOULE_URL says which node, and so which key"
    if isinstance(error, NotFound):
        return f"the node says: {error.detail or error.status}; 'txbridge joule ls' lists what it has"
    if isinstance(error, ServerFailed):
        return f"the node failed with {error.status}; its own log says why"
    return str(error)


def _explain_iobeam(error: Error | UnauthorizedError) -> str:
    said = ", ".join(word.rstrip(".") for word in (error.message, error.details) if word)
    if isinstance(error, TokenRefused):
        return (
            "the service refuses the token; "
            "--token-file, TXBRIDGE_IOBEAM_TOKEN or TXBRIDGE_IOBEAM_TOKEN_FILE gives it"
        )
    if isinstance(error, UnauthorizedError):
        return f"the token may not do this ({said or 'forbidden'})"
    return f"the service says: {said}" if said else str(error)


def run(
    reactor: Any,
    command: Callable[[], Deferred[int]],
    say: Callable[[str], None],
    out: TextIO,
) -> int:
    """Run a command to its end.

    Args:
        reactor: Where; it is started and stopped here.
        command: Starts it; fires with an exit status.
        say: Tells the person at the terminal about an error.
        out: The command's output; what is left in it is written at the end.

    Returns:
        The exit status.
    """
    outcome: list[int] = []
    stopped_by: list[int] = []

    def ended(result: int | Failure) -> None:
        try:
            status = _settle(result, stopped_by, say) if isinstance(result, Failure) else result
        except OSError:
            status = FAILED  # stderr is gone too
        outcome.append(status)
        reactor.stop()

    running: list[Deferred[int]] = []

    def cancel() -> None:
        # A command that ended meanwhile does not mind.
        for one in running:
            one.cancel()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped_by:
            os._exit(BY_SIGNAL + number)
        stopped_by.append(number)
        reactor.callFromThread(cancel)

    def start() -> None:
        # After the reactor has installed its own handlers, which would stop it under the command's feet.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        running.append(command())
        running[0].addBoth(ended)

    reactor.callWhenRunning(start)
    reactor.run()
    status = outcome[0] if outcome else FAILED
    return _flush(out, status)


def _settle(failure: Failure, stopped_by: list[int], say: Callable[[str], None]) -> int:
    error = failure.value
    if isinstance(error, CancelledError) and stopped_by:
        return BY_SIGNAL + stopped_by[0]
    if isinstance(error, BridgeError):
        say(explain(error))
    elif not isinstance(error, BrokenPipeError):
        _log.failure("the command failed", failure)
        say(f"this should not have happened: {type(error).__name__}")
    return status_of(error)


def _flush(out: TextIO, status: int) -> int:
    """Write what is left, and keep the interpreter from trying again when nobody reads it."""
    try:
        out.flush()
    except BrokenPipeError:
        status = NOBODY_READS
    if status == NOBODY_READS:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
    return status
