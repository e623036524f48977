"""Requests with a project token that is renewed in time.

A token is renewed when it is to expire within a day, and when the service does not take it; then the
request is repeated, once.  The new one is used at once, by every request from then on, and its owner is
told, who may want to keep it.

One that cannot be renewed, or has ended by its own word, is used all the same: whether it is good is the
service's to say.  A device's clock may be wrong; and a hub takes the token that a device has built in for
as long as its owner wants, so a renewal each time would make tokens without end.

One deadline covers all of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from txbridge.errors import Advice, AuthError, RemoteProtocolError, RequestRejected
from txbridge.iobeam.codec import token_payload
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.operations import refresh_token, with_token
from txbridge.net.deadline import with_deadline
from txbridge.net.operation import Carrier, Operation
from txbridge.net.reactor import wall_clock

__all__ = ["EARLY", "Session"]

EARLY = 86_400
"""Seconds before its end at which a token counts as expired.  Source: iobeam Python client 0.11.0."""

T = TypeVar("T")


class Session:
    """Runs operations with a token.

    Attributes:
        on_new_token: Called with each new token; None is nobody.
    """

    def __init__(self, carrier: Carrier, clock: Any, token: str, *, deadline: float) -> None:
        """Begin with a token.

        Args:
            carrier: What runs the operations; it stays its owner's to close.
            clock: A reactor, for the deadline and the time of day.
            token: A project token.
            deadline: Seconds for one operation, with all that its token needs.

        Raises:
            BadArgument: It is no project token.
        """
        self._carrier = carrier
        self._clock = clock
        self._wall = wall_clock(clock)
        self._deadline = deadline
        self._token = token
        self._expires = token_payload(token).expires
        self._is_final = False  # the service has said that it gives no other one for it
        self._renewing = DeferredLock()
        self.on_new_token: Callable[[str], object] | None = None

    @property
    def token(self) -> str:
        """The token that is used now."""
        return self._token

    def run(self, operation: Operation[T]) -> Deferred[T]:
        """Run an operation.

        Raises:
            TimedOut: It took longer than the deadline.
            AuthError: The service takes neither the token nor gives another one for it.
            BridgeError: As of `Carrier.run`.
        """
        work = Deferred.fromCoroutine(self._run(operation))
        return with_deadline(self._clock, work, self._deadline, operation=operation.name)

    async def renew_early(self) -> None:
        """Renew the token if it is to expire within a day."""
        if self._expires is not None and self._expires - EARLY <= self._wall() < self._expires:
            await self._renew(self._token)

    async def _run(self, operation: Operation[T]) -> T:
        await self.renew_early()
        token = self._token
        try:
            return await self._carrier.run(with_token(operation, token))
        except AuthError:
            await self._renew(token)
            if self._token == token:
                raise
        return await self._carrier.run(with_token(operation, self._token))

    async def _renew(self, token: str) -> None:
        """Get another token in the place of this one, unless somebody did already."""
        await self._renewing.acquire()
        try:
            if self._token != token or self._is_final:
                return
            try:
                grant = await self._carrier.run(refresh_token(token))
            except RequestRejected as error:
                if error.advice is Advice.RETRY:
                    raise
                # What stands in between gives no reasons, and will be gone.
                self._is_final = bool(error.title or error.detail)
                return
            try:
                self._expires = token_payload(grant.token).expires
            except BadArgument as error:
                raise RemoteProtocolError("refresh_token", f"what it gave {error.reason}") from None
            self._token = grant.token
        finally:
            self._renewing.release()
        if self.on_new_token is not None:
            self.on_new_token(self._token)
