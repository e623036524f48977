"""What a relay can tell about itself: its routes, whether it is ready, and the same as metrics.

Labels are names that the configuration chose, and words of this program: nothing that a device or a
platform sends can make a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from txbridge.daemon.process import ProcessReport, process_families
from txbridge.daemon.render import length_of_time
from txbridge.net.exposition import Family
from txbridge.relay.roles import LossKind
from txbridge.relay.status import DestinationStatus, LinkState, RouteStatus

__all__ = ["Lost", "RelayReport", "RouteReport"]


@frozen
class Lost:
    """What the ledger was told of one kind for one destination since the start.

    Attributes:
        points: How many points, as far as that is known.
        intervals: In how many entries.
    """

    points: int = 0
    intervals: int = 0


@frozen
class RouteReport:
    """A route.

    Attributes:
        name: Its name.
        problem: Why it does not run, or None.
        status: How it goes, or None when it does not run.
        losses: Destination (``""`` is all of them) and kind -> what was lost.
    """

    name: str
    problem: str | None
    status: RouteStatus | None
    losses: Mapping[tuple[str, LossKind], Lost]

    def reasons(self, away: float) -> Iterable[str]:
        """Why it is not ready, a sentence each."""
        status = self.status
        if status is None:
            yield f"route {self.name} does not run: {self.problem or 'it is starting'}"
            return
        links = [
            ("the source", status.source, status.source_age, status.source_error),
            *((one.name, one.state, one.state_age, one.last_error) for one in status.destinations),
        ]
        for who, state, age, error in links:
            if state is LinkState.NEEDS_ATTENTION:
                yield f"route {self.name}: {who} needs attention: {error}"
            elif state is LinkState.AWAY and age > away:
                yield f"route {self.name}: {who} is away for {length_of_time(age)}: {error}"
        storages = [
            ("the outbox", status.outbox, status.outbox_error),
            *(
                (f"what is kept for {one.name}", one.storage, one.storage_error)
                for one in status.destinations
            ),
        ]
        for what, state, error in storages:
            if state in (LinkState.AWAY, LinkState.NEEDS_ATTENTION):
                yield f"route {self.name}: {what} cannot be written: {error}"

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        return {
            "name": self.name,
            "problem": self.problem,
            "status": None if self.status is None else self.status.to_json(),
            "losses": [
                {"destination": name, "kind": kind.value, "points": lost.points, "intervals": lost.intervals}
                for (name, kind), lost in self.losses.items()
            ],
        }


@frozen(kw_only=True)
class RelayReport:
    """A relay.

    Attributes:
        version: Of the program.
        pid: Of the process.
        config: The file it was configured with.
        started_at: Seconds since 1970.
        uptime: Seconds.
        reload_problems: Why the last reload changed nothing; empty when it did what it was told.
        away: Seconds that a link may be away.
        routes: In the order of the file.
        process: What the process takes.
    """

    version: str
    pid: int
    config: str
    started_at: float
    uptime: float
    reload_problems: tuple[str, ...]
    away: float
    routes: tuple[RouteReport, ...]
    process: ProcessReport

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready; empty when it is."""
        return tuple(reason for route in self.routes for reason in route.reasons(self.away))

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        return {
            "version": self.version,
            "pid": self.pid,
            "config": self.config,
            "started_at": self.started_at,
            "uptime": self.uptime,
            "ready": not self.reasons,
            "reasons": list(self.reasons),
            "reload_problems": list(self.reload_problems),
            "routes": [route.to_json() for route in self.routes],
        }

    def summary(self) -> str:
        """A few words for ``systemctl status``."""
        waiting = sum(one.pending_points for _, one in self._destinations())
        reasons = self.reasons
        begin = f"{len(self.routes)} route{'' if len(self.routes) == 1 else 's'}, {waiting} points wait"
        return begin if not reasons else f"{begin}; {reasons[0]}"

    def metrics(self) -> list[Family]:
        """The same as metrics; the one to raise an alarm on comes first."""
        destinations = list(self._destinations())
        running = [(route, route.status) for route in self.routes if route.status is not None]

        def each(name: str, kind: str, help: str, value: Any) -> Family:
            """One sample for each destination that has the value."""
            samples = [
                ({"route": route.name, "destination": one.name}, value(one)) for route, one in destinations
            ]
            return Family(f"txbridge_{name}", kind, help, [pair for pair in samples if pair[1] is not None])

        def of_route(name: str, kind: str, help: str, value: Any) -> Family:
            samples = [({"route": route.name}, value(status)) for route, status in running]
            return Family(f"txbridge_{name}", kind, help, samples)

        states = [
            *(({"route": one.name, "link": "source"}, status.source) for one, status in running),
            *(({"route": one.name, "link": "outbox"}, status.outbox) for one, status in running),
            *(
                ({"route": route.name, "link": "destination", "destination": one.name}, one.state)
                for route, one in destinations
            ),
        ]
        losses = [
            ({"route": route.name, "destination": name, "kind": kind.value}, lost)
            for route in self.routes
            for (name, kind), lost in route.losses.items()
        ]
        return [
            each(
                "oldest_unsent_seconds",
                "gauge",
                "How long the oldest item that was not delivered has waited.",
                lambda one: one.oldest_age or 0.0,
            ),
            each("pending_points", "gauge", "Points that wait.", lambda one: one.pending_points),
            each("pending_bytes", "gauge", "Their size in the outbox.", lambda one: one.pending_bytes),
            each("delivered_points_total", "counter", "Points delivered.", lambda one: one.delivered),
            Family(
                "txbridge_lost_points_total",
                "counter",
                "Points in the ledger of losses, by kind.",
                [(labels, lost.points) for labels, lost in losses],
            ),
            Family(
                "txbridge_lost_intervals_total",
                "counter",
                "Entries in the ledger of losses, by kind.",
                [(labels, lost.intervals) for labels, lost in losses],
            ),
            each("retries_total", "counter", "Deliveries that were tried again.", lambda one: one.retries),
            each(
                "stalled_seconds",
                "gauge",
                "How long nothing was delivered although something waits.",
                lambda one: one.stalled or 0.0,
            ),
            each(
                "last_success_timestamp_seconds",
                "gauge",
                "When something was delivered last.",
                lambda one: one.last_success,
            ),
            each(
                "clock_skew_seconds",
                "gauge",
                "How far the platform's clock is ahead of this machine's.",
                lambda one: one.skew,
            ),
            Family(
                "txbridge_link_state",
                "gauge",
                "1 for the state that a link has, 0 for the others.",
                [
                    ({**labels, "state": state.value}, float(state is now))
                    for labels, now in states
                    for state in LinkState
                ],
            ),
            Family(
                "txbridge_route_running",
                "gauge",
                "Whether a route runs.",
                [({"route": route.name}, float(route.status is not None)) for route in self.routes],
            ),
            of_route("received_points_total", "counter", "Points from the source.", lambda one: one.received),
            of_route(
                "source_gaps_total", "counter", "Gaps that the source told.", lambda one: one.source_gaps
            ),
            of_route("outbox_points", "gauge", "Points in the outbox.", lambda one: one.outbox_points),
            of_route("outbox_bytes", "gauge", "The size of the outbox.", lambda one: one.outbox_bytes),
            of_route("outbox_max_bytes", "gauge", "Its cap.", lambda one: one.outbox_max_bytes),
            of_route(
                "outbox_blocked",
                "gauge",
                "Whether the source waits for room.",
                lambda one: float(one.blocked),
            ),
            Family("txbridge_ready", "gauge", "What /readyz says.", [({}, float(not self.reasons))]),
            Family(
                "txbridge_reload_failed",
                "gauge",
                "Whether the last reload was refused.",
                [({}, float(bool(self.reload_problems)))],
            ),
            Family("txbridge_info", "gauge", "The program.", [({"version": self.version}, 1.0)]),
            *process_families(self.process, self.started_at),
        ]

    def _destinations(self) -> Iterable[tuple[RouteReport, DestinationStatus]]:
        for route in self.routes:
            if route.status is not None:
                for one in route.status.destinations:
                    yield route, one
