"""Who has no key and may look at pictures of public feeds, where the hub's owner wants that.

Websites showed the service's graphs to everybody.  Strangers must not keep the hub from those it works
for, so each address may ask so often, and all of them together have a few pictures under way: what waits
before the storage and the one who draws are at most those few.

Source: Cosm API v2, "Single datastream", the code that websites embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore

from txbridge.cosm.refusal import too_often, unavailable
from txbridge.hub.auth import Principal
from txbridge.hub.rates import RateLimiter
from txbridge.model.accounts import Permission

__all__ = ["VISITOR", "Visitors"]

T = TypeVar("T")

PICTURES_PER_MINUTE = 60.0  # of one address: a page of ten graphs that is loaded every ten seconds
UNDER_WAY = 2
MAX_WAITING = 50  # a few seconds of work
TRY_AGAIN_SECONDS = 5.0

VISITOR = Principal("", False, (Permission(access_methods=["get"]),))
"""Owns nothing, so that what is private stays so."""


class Visitors:
    """Lets those in who have no key.

    Args:
        per_minute: The pictures of one address in a minute, averaged over three.
    """

    def __init__(self, per_minute: float = PICTURES_PER_MINUTE) -> None:
        self._limiter = RateLimiter(per_minute)
        self._turn = DeferredSemaphore(UNDER_WAY)

    def admit(self, client: str, now: float) -> Principal:
        """Let an address in.

        Args:
            client: The address.
            now: The time in seconds.

        Raises:
            Refusal: 403, it asks too often.
        """
        wait = self._limiter.take(_household(client), now)
        if wait:
            raise too_often(wait, "address")
        return VISITOR

    def take_turn(self, work: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> Deferred[T]:
        """Do some work when it is its turn.

        Raises:
            Refusal: 503, too many wait.
        """
        if len(self._turn.waiting) >= MAX_WAITING:
            raise unavailable("Too many graphs wait to be drawn, please try again later", TRY_AGAIN_SECONDS)
        done: Deferred[T] = self._turn.run(lambda: Deferred.fromCoroutine(work()))
        return done


def _household(client: str) -> str:
    """What counts as one address: of IPv6 the network, as anybody has billions of addresses in theirs."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    mapped = address.ipv4_mapped
    return str(IPv6Network((address, 64), strict=False) if mapped is None else mapped)
