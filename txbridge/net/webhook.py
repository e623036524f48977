"""Posting to URLs that somebody else chose: one form, one deadline, and never into our own network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from txbridge.errors import BridgeError, ConfigError, ConnectError
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier, base_url_problems
from txbridge.net.operation import Answer, Operation
from txbridge.net.outside import Network, OutsideReactor
from txbridge.net.tls import ClientTls

__all__ = ["WebhookCarrier", "webhook_problem"]

DEADLINE = 10.0  # seconds.  Source: Cosm API v2, "Triggers"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")

FORM = "application/x-www-form-urlencoded"


class WebhookCarrier:
    """Posts forms to URLs.

    Args:
        reactor: Where it runs.
        allowed: Networks that may be called although they are not of the public internet.
        deadline: Seconds for one call, from the look-up of the name to the head of an answer, or
            the end of a refusal.
        trust: Whom to trust over TLS; None for the system's roots.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        allowed: Sequence[Network] = (),
        deadline: float = DEADLINE,
        trust: ClientTls | None = None,
    ) -> None:
        self._reactor = reactor
        self._allowed = tuple(allowed)
        self._deadline = deadline
        self._trust = trust

    @deferred
    async def post_form(self, url: str, body: bytes) -> int:
        """Post a form; fires with the status, which is a success.

        Raises:
            ConfigError: The URL cannot be called.
            ConnectError: Nobody is there, or it leads into this network.
            BridgeError: It went wrong in another way, or was refused.
        """
        problem = webhook_problem(url)
        if problem is not None:
            raise ConfigError([f"the URL {problem}"])
        base, path, query = _take_apart(url)
        outside = OutsideReactor(self._reactor, self._allowed)
        carrier = HttpCarrier(
            base,
            deadline=self._deadline,
            trust=self._trust,
            reactor=outside,
        )
        try:
            # What a success says beside its status is read by nobody, so it cannot undo it.
            answer = await carrier.open_download(
                Operation("notify", "POST", path, _status, query, {"Content-Type": FORM}, body)
            )
            answer.close()
            return answer.status
        except BridgeError:
            if outside.refused:
                where = f"{urlsplit(base).hostname}"
                raise ConnectError(
                    where, f"it leads to {outside.refused[0]}, which is not outside this network"
                ) from None
            raise
        finally:
            await carrier.close()


def webhook_problem(url: str) -> str | None:
    """Why a URL cannot be called, or None."""
    try:
        base, _, _ = _take_apart(url)
    except ConfigError:
        problems = True
    else:
        problems = bool(base_url_problems(base)) or not _PRINTABLE.fullmatch(url)
    return "is not an http or https URL that can be called" if problems else None


def _status(answer: Answer) -> int:
    return answer.status


def _take_apart(url: str) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The URL without its query and fragment, the slash that ends it, if any does, and the query."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError([f"{url!r:.100} cannot be read as a URL"]) from error
    base = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    slash = () if parts.path.rpartition("/")[2] else ("",)  # which a base URL does not keep
    return base, slash, tuple(parse_qsl(parts.query, keep_blank_values=True))
