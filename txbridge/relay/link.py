"""How it goes with one end of a route: its state, when to try again, and the log on its edges.

Both the sender of a destination and the reader of a source ask a `Link` how long to wait after an
error.  The link logs when the end goes away and when it returns, and says nothing in between,
however often it is tried.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txbridge.errors import Advice, BridgeError, RateLimited, ServerFailed
from txbridge.net.backoff import MAX_RETRY_AFTER, Backoff
from txbridge.relay.status import LinkState, describe_error

__all__ = ["Link"]

ATTENTION_INITIAL = 30.0  # a key that is wrong is not right a second later,
ATTENTION_MAXIMUM = 600.0  # but whoever mends it should not have to restart anything


class Link:
    """The state of one end.

    Args:
        name: Who it is, for the log.
        clock: The clock of the back-off.
        random: Gives fresh random numbers, 0 <= random < 1.
        backoff: The delays after an error that passes by itself.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.last_error: str | None = None
        self._clock = clock
        self._state = LinkState.STARTING
        self._state_since = clock.seconds()
        self._random = random
        self._passing = backoff if backoff is not None else Backoff()
        self._lasting = Backoff(initial=ATTENTION_INITIAL, maximum=ATTENTION_MAXIMUM)

    @property
    def state(self) -> LinkState:
        """How it goes."""
        return self._state

    @state.setter
    def state(self, state: LinkState) -> None:
        if state is not self._state:
            self._state = state
            self._state_since = self._clock.seconds()

    @property
    def state_age(self) -> float:
        """For how many seconds it has gone like that."""
        return max(0.0, self._clock.seconds() - self._state_since)

    @property
    def in_trouble(self) -> bool:
        """Whether it failed and has not worked since."""
        return self.state in (LinkState.AWAY, LinkState.NEEDS_ATTENTION)

    def works(self) -> None:
        """Called when the end did what was asked of it."""
        self._passing.works(self._clock.seconds())
        self._lasting.works(self._clock.seconds())
        if self.in_trouble:
            self._log.info("{link} is back", link=self.name)
        self.state = LinkState.WORKING

    def crashed(self, error: BaseException) -> None:
        """Called when what asks the end failed with an error that nobody foresaw, and starts over."""
        self.last_error = describe_error(error)
        self.state = LinkState.NEEDS_ATTENTION

    def failed(self, error: BridgeError) -> float:
        """Called when it did not; returns the seconds to wait before the next attempt."""
        lasting = error.advice is Advice.STOP
        state = LinkState.NEEDS_ATTENTION if lasting else LinkState.AWAY
        self.last_error = describe_error(error)
        if state is not self.state:
            if lasting:
                self._log.error("{link} needs attention: {error}", link=self.name, error=self.last_error)
            else:
                self._log.warn("{link} is away: {error}", link=self.name, error=self.last_error)
        self.state = state
        backoff = self._lasting if lasting else self._passing
        wished = error.retry_after if isinstance(error, RateLimited | ServerFailed) else None
        if wished is not None:
            wished = min(wished, MAX_RETRY_AFTER)
        return backoff.next_delay(self._random(), self._clock.seconds(), at_least=wished)
