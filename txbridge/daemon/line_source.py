"""Lines of text over a socket as a `Source`: for devices and scripts that speak no platform.

A client connects and writes lines ``DATASTREAM,TIMESTAMP,VALUE``, as ``txbridge send`` reads and
``txbridge history --csv`` writes them.  An empty timestamp is the moment the line came, and at least a
microsecond after the one before, so that no line takes the place of another.  It is answered::

    ok 3            the first three lines are in the outbox
    error 4: …      the fourth is no such line; the others count

``ok`` comes when the outbox has them, so whoever was not answered sends again: a point with a timestamp
is the same point.  Nobody has to wait for an answer before the next line.  A client that has closed its
half of the connection (``nc -N``) still gets its answers.

When the outbox has no room, the connections are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from time import time_ns
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.daemon.readings import LONGEST_LINE, Reading, read_line
from txbridge.daemon.service import read_endpoint
from txbridge.errors import Closed, ConfigError, ConnectError, OutboxError
from txbridge.model.instants import to_nanoseconds
from txbridge.model.numbers import parse_number
from txbridge.model.samples import Batch, Cursor, SampleBlock, ValueType
from txbridge.net.deferred import deferred
from txbridge.relay.handover import HandOver
from txbridge.relay.roles import Capabilities, Selection, Subscription
from txbridge.relay.steps import Select

__all__ = ["CAPABILITIES", "NUMBERS", "LineSource"]

CAPABILITIES = Capabilities(
    time_resolution_ns=1000,
    value_types=frozenset({ValueType.TEXT}),
    not_numbers=False,
    history=False,
)

NUMBERS = Capabilities(
    time_resolution_ns=1000,
    value_types=frozenset({ValueType.FLOAT}),
    not_numbers=False,
    history=False,
)

MAX_CLIENTS = 1000
MICROSECOND = 1000
_INT64 = 2**63


class LineSource:
    """Takes lines from whoever connects.

    Args:
        reactor: Where to listen.
        endpoint: Where, as Twisted reads it.
        numbers: Give values as float64, and refuse what is not a number; else they are text.
        now: Nanoseconds since 1970, for lines without a timestamp.
    """

    def __init__(
        self, reactor: Any, endpoint: str, *, numbers: bool = False, now: Callable[[], int] = time_ns
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._numbers = numbers
        self._now = now

    @property
    def capabilities(self) -> Capabilities:
        """Texts or numbers, which are acknowledged; no history."""
        return NUMBERS if self._numbers else CAPABILITIES

    @deferred
    async def open(self, selection: Selection, after: Cursor | None) -> Subscription:
        """Listen.

        Args:
            selection: The streams that are wanted; lines of others are taken and dropped.
            after: Not used: clients send again what was not answered.

        Raises:
            ConfigError: The endpoint cannot be read.
            ConnectError: It cannot be listened at now.
        """
        subscription = _LineSubscription(Select(selection.streams), self._numbers, self._now)
        try:
            port = await read_endpoint(self._reactor, self._endpoint).listen(subscription.factory)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise ConnectError(self._endpoint, reason) from error
        except OSError as error:
            raise ConnectError(self._endpoint, error.strerror or str(error)) from error
        subscription.port = port
        return subscription


@define(eq=False)
class _Sent:
    """What of a connection is on its way to the outbox: a batch of this number has its lines up to here."""

    number: int
    connection: _LineProtocol
    lines: int


class _LineSubscription:
    """Gathers what all connections bring, and answers them."""

    def __init__(self, select: Select, numbers: bool, now: Callable[[], int]) -> None:
        self.port: IListeningPort | None = None
        self.factory = _LineFactory(self)
        self.connections: set[_LineProtocol] = set()
        self.paused = False
        self._select = select
        self._numbers = numbers
        self._now = now
        self._handover = HandOver(self)
        self._number = 0
        self._latest = 0  # the instant that was given last to a line without one
        self._sent: list[_Sent] = []

    # -- called by the route

    def next_batch(self) -> Deferred[Batch]:
        """What has come, or what comes next."""
        return self._handover.next_batch()

    def settled(self, cursor: Cursor) -> None:
        """Answer whose lines are in the outbox."""
        done = [one for one in self._sent if one.number <= cursor.value]  # type: ignore[operator]  # our own
        self._sent = self._sent[len(done) :]
        for connection, lines in {one.connection: one.lines for one in done}.items():
            connection.answer(lines)

    @deferred
    async def close(self) -> None:
        """Listen no more, and close the connections: what was not answered comes again."""
        self._handover.finish(Closed("the lines"))
        if self.port is not None:
            await maybeDeferred(self.port.stopListening)
        for connection in list(self.connections):
            connection.leave()

    # -- called by the hand-over

    def pauseProducing(self) -> None:
        """Read no connection for now."""
        self.paused = True
        for connection in self.connections:
            connection.pause()

    def resumeProducing(self) -> None:
        """Go on."""
        self.paused = False
        for connection in list(self.connections):
            connection.resume()

    # -- called by the connections

    def take(self, connection: _LineProtocol, readings: list[Reading], lines: int) -> None:
        """Take what a connection brought; ``lines`` is how many it has brought in all."""
        self._number += 1
        batch, _ = self._select.apply(Batch(tuple(self._blocks(readings)), cursor=Cursor(self._number)))
        self._sent.append(_Sent(self._number, connection, lines))
        try:
            self._handover.put(batch)
        except OutboxError:  # it goes on although it was paused; what is not answered comes again
            self._sent.pop()
            connection.abort()

    def read(self, line: bytes, number: int) -> Reading | None:
        """Read a line.

        Raises:
            ConfigError: It is none.
        """
        try:
            reading = read_line(line.decode("utf-8"), number)
        except UnicodeDecodeError:
            raise ConfigError([f"line {number}: it is no UTF-8"]) from None
        if reading is None:
            return None
        if reading.at is not None and not -_INT64 <= to_nanoseconds(reading.at) < _INT64:
            raise ConfigError([f"line {number}: its time is out of range"])
        if self._numbers:
            if parse_number(reading.value) is None:
                raise ConfigError([f"line {number}: its value is no number"])
            if not isfinite(float(reading.value)):
                raise ConfigError([f"line {number}: its value is too large for a number"])
        return reading

    def _blocks(self, readings: list[Reading]) -> list[SampleBlock]:
        now = self._now() // MICROSECOND * MICROSECOND
        streams: dict[str, list[tuple[int, str]]] = {}
        for one in readings:
            if one.at is None:
                at = self._latest = max(now, self._latest + MICROSECOND)
            else:
                at = to_nanoseconds(one.at)
            streams.setdefault(one.datastream, []).append((at, one.value))
        blocks: list[SampleBlock] = []
        for name, rows in streams.items():
            rows.sort(key=lambda row: row[0])  # stable: of two with one instant the later stays behind
            values: list[Any] = [float(value) if self._numbers else value for _, value in rows]
            blocks.append(SampleBlock.scalar(name, [at for at, _ in rows], values))
        return blocks


@implementer(IHalfCloseableProtocol)
class _LineProtocol(Protocol):
    """One client."""

    transport: Any  # ITransport and IPushProducer

    def __init__(self, owner: _LineSubscription) -> None:
        self._owner = owner
        self._unfinished = b""
        self._lines = 0
        self._brought = 0
        self._answered = 0
        self._input_ended = False

    # -- called by the transport

    def connectionMade(self) -> None:
        """There is a client."""
        self._owner.connections.add(self)
        if self._owner.paused:
            self.pause()

    def dataReceived(self, data: bytes) -> None:
        """Read all the lines that came, and hand them over together."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        self._read(lines)
        if len(self._unfinished) > LONGEST_LINE:  # where the next one begins is not known
            self._say(f"error {self._lines + 1}: it is longer than {LONGEST_LINE} characters")
            self.leave()

    def readConnectionLost(self) -> None:
        """The client has said everything; its last line may have no end."""
        rest, self._unfinished = self._unfinished, b""
        self._input_ended = True
        self._read([rest] if rest else [])
        self._leave_when_answered()

    def writeConnectionLost(self) -> None:
        """Our own half is closed, which nothing here asks for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._owner.connections.discard(self)

    # -- called by the subscription

    def answer(self, lines: int) -> None:
        """So many lines are in the outbox."""
        self._answered = lines
        if self in self._owner.connections:
            self._say(f"ok {lines}")
            self._leave_when_answered()

    def pause(self) -> None:
        """Read nothing for now."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Go on."""
        self.transport.resumeProducing()

    def leave(self) -> None:
        """Close."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close now."""
        self.transport.abortConnection()

    def _read(self, lines: list[bytes]) -> None:
        readings: list[Reading] = []
        for line in lines:
            self._lines += 1
            try:
                reading = self._owner.read(line, self._lines)
            except ConfigError as error:
                for problem in error.problems:
                    self._say(f"error {problem.removeprefix('line ')}")
            else:
                readings += [reading] if reading is not None else []
        if self._lines > self._brought:
            self._brought = self._lines
            self._owner.take(self, readings, self._lines)

    def _say(self, line: str) -> None:
        self.transport.write(f"{line}\n".encode())

    def _leave_when_answered(self) -> None:
        if self._input_ended and self._answered == self._brought:
            self.leave()


class _LineFactory(Factory):
    """Makes a protocol for each client."""

    noisy = False

    def __init__(self, owner: _LineSubscription) -> None:
        self._owner = owner

    def buildProtocol(self, addr: IAddress | None) -> _LineProtocol | None:
        """Called by the port; None closes the connection."""
        return _LineProtocol(self._owner) if len(self._owner.connections) < MAX_CLIENTS else None
