"""``txbridge relay check``: everything that can be known of a configuration before it is run.

All problems of the file at once; what every route does to the data on the way, with the losses; and what
the machine and the network have to say: whether the state can be kept and has room, whether the secrets
are there and are the owner's alone, whether the endpoints are free, whether the clock can be right, and
whether each destination answers and takes its key.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from txbridge.cosm.client import Client
from txbridge.daemon.relay_assembly import client_of_end, plan_ways
from txbridge.daemon.relay_config import (
    CosmFrom,
    CosmTo,
    End,
    HostFrom,
    IobeamFrom,
    IobeamTo,
    JouleFrom,
    JouleTo,
    LinesFrom,
    RelayConfig,
    RouteConfig,
)
from txbridge.daemon.relay_files import load_relay_config, read_secrets, secret_warnings
from txbridge.daemon.relay_state import LOCK_FILE
from txbridge.daemon.render import byte_size, json_text
from txbridge.daemon.running import DONE, MISCONFIGURED
from txbridge.daemon.service import read_endpoint
from txbridge.daemon.tables import Secret
from txbridge.daemon.terminal import Terminal
from txbridge.errors import Advice, AuthError, BridgeError, ConfigError, Forbidden, NotFound
from txbridge.host.adapter import HostSource
from txbridge.iobeam.adapter import look_at
from txbridge.iobeam.client import Client as IobeamClient
from txbridge.joule.client import Node
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.relay.roles import Durability

__all__ = ["check", "end_words"]

ANSWER_SECONDS = 10.0  # that an end may take to say how it is
CLOCK_FLOOR = 1767225600.0  # 2026-01-01: a clock before that was never set


@frozen
class Finding:
    """What one look gave.

    Attributes:
        what: What was looked at.
        level: ``"ok"``, ``"warning"`` or ``"problem"``.
        words: What is to be said of it.
    """

    what: str
    level: str
    words: str


@define
class _Findings:
    found: list[Finding] = field(factory=list)

    def ok(self, what: str, words: str) -> None:
        self.found.append(Finding(what, "ok", words))

    def warning(self, what: str, words: str) -> None:
        self.found.append(Finding(what, "warning", words))

    def problem(self, what: str, words: str) -> None:
        self.found.append(Finding(what, "problem", words))

    @property
    def problems(self) -> list[str]:
        return [f"{one.what}: {one.words}" for one in self.found if one.level == "problem"]


@deferred
async def check(
    reactor: Any,
    terminal: Terminal,
    path: str,
    environ: Mapping[str, str],
    *,
    network: bool,
    show: bool,
    as_json: bool,
) -> int:
    """Check a configuration, and tell what it means.

    Args:
        reactor: For what is asked over the network.
        terminal: Where to tell it.
        path: Of the file.
        environ: Where secrets and the state may be.
        network: Whether the ends are asked.
        show: Only show everything that holds, as TOML.
        as_json: One JSON object, for scripts.
    """
    findings = _Findings()
    config: RelayConfig | None = None
    try:
        config = load_relay_config(path, environ)
    except ConfigError as error:
        for problem in error.problems:
            where, _, words = problem.partition(": ")
            findings.problem(where, words or problem)
    if config is not None and show:
        terminal.give(config.effective)
        return DONE
    if config is not None:
        _look_at_losses(config, findings)
        _look_at_state(config, findings)
        _look_at_clock(findings)
        secrets = _look_at_secrets(config, environ, findings)
        await _look_at_endpoints(reactor, config, findings)
        _look_at_machine(reactor, config, findings)
        if network:
            await _look_at_ends(reactor, config, secrets, findings)
    if as_json:
        terminal.give(json_text(_members(path, config, findings)))
    else:
        _tell(terminal, path, config, findings)
    return MISCONFIGURED if findings.problems else DONE


# ------------------------------------------------------------------------------------------- the looks


def _look_at_losses(config: RelayConfig, findings: _Findings) -> None:
    for route in config.routes.values():
        for way in plan_ways(route):
            where = f"routes.{route.name}.to.{way.destination}"
            for words in way.problems:
                findings.problem(where, words)
            needless = [loss for loss in way.needless if not _happens_elsewhere(route, loss)]
            for loss in needless:
                findings.warning(where, f'accepts "{loss}", which does not happen there')
        if route.outbox.durability is not Durability.DISK:
            survives = "a power cut" if route.outbox.durability is Durability.OS else "the end of the process"
            findings.warning(
                f"routes.{route.name}.outbox",
                f'durability = "{route.outbox.durability.value}": what waits does not survive {survives}',
            )


def _happens_elsewhere(route: RouteConfig, loss: str) -> bool:
    """What a route accepts for all its destinations need not happen at each."""
    return any(loss in way.plan.losses for way in plan_ways(route))


def _look_at_state(config: RelayConfig, findings: _Findings) -> None:
    state = Path(config.state)
    there = next(one for one in (state, *state.parents) if one.exists())
    try:
        if there == state:
            with tempfile.TemporaryFile(dir=state):
                pass
        elif not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
        findings.ok("state", f"{state} can be written")
    except OSError as error:
        findings.problem("state", f"cannot write in {there}: {error.strerror}")
        return
    wanted = sum(
        route.outbox.max_bytes
        for route in config.routes.values()
        if route.outbox.durability is not Durability.NONE
    )
    used = sum(file.stat().st_size for file in state.rglob("*") if file.is_file()) if there == state else 0
    free = shutil.disk_usage(there).free + used
    if wanted > free:
        findings.warning(
            "state", f"the outboxes may take {byte_size(wanted)}, and {byte_size(free)} of the disk are free"
        )
    else:
        findings.ok(
            "state", f"the outboxes may take {byte_size(wanted)} of the {byte_size(free)} that are free"
        )
    if (state / LOCK_FILE).exists():
        findings.ok("state", "a relay has used it before; what waits there will be sent")


def _look_at_clock(findings: _Findings) -> None:
    if time() < CLOCK_FLOOR:
        findings.warning("clock", "this machine's clock was never set; clock_policy says what becomes of it")
    else:
        findings.ok("clock", "this machine's clock can be right")


def _look_at_secrets(
    config: RelayConfig, environ: Mapping[str, str], findings: _Findings
) -> dict[Secret, str]:
    found: dict[Secret, str] = {}
    for route in config.routes.values():
        for secret in route.secrets:
            try:
                found |= read_secrets([secret], environ)
            except ConfigError as error:
                for problem in error.problems:
                    findings.problem(f"routes.{route.name}", problem)
            for warning in secret_warnings([secret]):
                findings.warning(f"routes.{route.name}", warning)
    return found


async def _look_at_endpoints(reactor: Any, config: RelayConfig, findings: _Findings) -> None:
    endpoints = {} if config.admin.listen is None else {"admin.listen": config.admin.listen}
    endpoints |= {
        f"routes.{route.name}.from.lines.listen": route.source.listen
        for route in config.routes.values()
        if isinstance(route.source, LinesFrom)
    }
    for where, text in endpoints.items():
        try:
            port = await read_endpoint(reactor, text).listen(Factory())
            await maybeDeferred(port.stopListening)
            findings.ok(where, f"{text} is free")
        except ConfigError as error:
            findings.problem(where, str(error))
        except CannotListenError as error:
            # Perhaps by the relay that runs with this file.
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            findings.warning(where, f"cannot listen at {text} now: {reason}")
        except OSError as error:
            findings.problem(where, f"cannot listen at {text}: {error.strerror or error}")


def _look_at_machine(reactor: Any, config: RelayConfig, findings: _Findings) -> None:
    for route in config.routes.values():
        if isinstance(route.source, HostFrom):
            try:
                HostSource(route.source.every, reactor=reactor, disk=route.source.disk)
            except ConfigError as error:
                findings.problem(f"routes.{route.name}.from.host", str(error))


async def _look_at_ends(
    reactor: Any, config: RelayConfig, secrets: Mapping[Secret, str], findings: _Findings
) -> None:
    asked: list[Deferred[None]] = []
    for route in config.routes.values():
        ends: dict[str, End] = {f"routes.{route.name}.from": route.source}
        ends |= {f"routes.{route.name}.to.{one.name}": one.end for one in route.destinations}
        for where, end in ends.items():
            key = getattr(end, "key", None)
            if key is None or key in secrets:
                directory = Path(config.state) / route.name
                asked.append(_ask(reactor, where, end, secrets, directory, findings))
    await gatherResults(asked)


@deferred
async def _ask(
    reactor: Any,
    where: str,
    end: End,
    secrets: Mapping[Secret, str],
    directory: Path,
    findings: _Findings,
) -> None:
    client = None
    try:
        client = client_of_end(reactor, end, secrets, directory)
        if client is None:
            return
        if isinstance(client, Client):
            assert isinstance(end, CosmFrom | CosmTo)
            feed = await with_deadline(
                reactor, client.read_feed(feed_id=end.feed), ANSWER_SECONDS, operation="read the feed"
            )
            findings.ok(where, f"{end_words(end)} answers; its title is {feed.title!r}")
        else:
            await with_deadline(reactor, _asking(client, end), ANSWER_SECONDS, operation="ask how it is")
            findings.ok(where, f"{end_words(end)} answers")
    except BridgeError as error:
        findings.problem(where, f"{end_words(end)}: {error}{_advice(error, end)}")
    finally:
        if client is not None:
            await client.close()


def _asking(client: Node | IobeamClient, end: End) -> Deferred[Any]:
    if isinstance(client, Node):
        return client.info()
    # A destination makes its device, and need not be allowed to read it.
    return look_at(client, end.device) if isinstance(end, IobeamFrom) else client.device_timestamp()


def _advice(error: BridgeError, end: End) -> str:
    if isinstance(error, AuthError | Forbidden):
        return "; it refuses the key"
    if isinstance(error, NotFound) and isinstance(end, CosmFrom | CosmTo):
        return "; 'txbridge feeds' lists what there is, and 'txbridge feeds create' makes one"
    if isinstance(error, NotFound) and isinstance(end, IobeamFrom):
        return f"; 'txbridge iobeam register {end.device}' makes it"
    if error.advice is Advice.RETRY:
        return "; a relay would wait for it"
    return ""


# ------------------------------------------------------------------------------------------ the answer


def end_words(end: End) -> str:
    """An end in a few words."""
    if isinstance(end, HostFrom):
        return f"this machine, every {end.every:g} s"
    if isinstance(end, LinesFrom):
        return f"lines at {end.listen}"
    if isinstance(end, CosmFrom | CosmTo):
        return f"feed {end.feed} at {end.url}"
    if isinstance(end, IobeamFrom | IobeamTo):
        return f"device {end.device} of project {end.project} at {end.url}"
    where = end.url or end.node or "the default node"
    if isinstance(end, JouleTo):
        return f"{end.folder} at {where}"
    assert isinstance(end, JouleFrom)
    return f"{len(end.streams)} stream{'' if len(end.streams) == 1 else 's'} at {where}"


def _tell(terminal: Terminal, path: str, config: RelayConfig | None, findings: _Findings) -> None:
    for route in config.routes.values() if config is not None else ():
        terminal.give(_route_text(route))
    for one in findings.found:
        sign = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}[one.level]
        terminal.give(f"{sign:<8} {one.what}: {one.words}\n")
    problems = findings.problems
    if problems:
        terminal.say(f"{path}: {len(problems)} problem{'' if len(problems) == 1 else 's'}")
    else:
        terminal.give(f"{path} can be run: txbridge relay run --config {path}\n")


def _route_text(route: RouteConfig) -> str:
    box, most = route.outbox, byte_size(route.outbox.max_bytes)
    lines = [
        f"route {route.name}",
        f"  from    {end_words(route.source)}",
        *(f"  step    {type(step).__name__.lower()}" for step in route.steps),
        f"  outbox  {box.durability.value}, at most {most}, {box.on_full.value} when full",
    ]
    ways = {way.destination: way for way in plan_ways(route)}
    for one in route.destinations:
        lines.append(f"  to      {one.name}: {end_words(one.end)}")
        for conversion in ways[one.name].plan.conversions:
            kind = "converts" if not conversion.loss else "loses"
            refused = " (NOT ACCEPTED)" if conversion.name in ways[one.name].refused else ""
            lines.append(f"            {kind}: {conversion.name}{refused}")
    return "\n".join(lines) + "\n\n"


def _members(path: str, config: RelayConfig | None, findings: _Findings) -> dict[str, Any]:
    routes: list[dict[str, Any]] = []
    for route in config.routes.values() if config is not None else ():
        ways = {way.destination: way for way in plan_ways(route)}
        routes.append(
            {
                "name": route.name,
                "from": end_words(route.source),
                "outbox": {
                    "durability": route.outbox.durability.value,
                    "max_bytes": route.outbox.max_bytes,
                    "on_full": route.outbox.on_full.value,
                },
                "to": [
                    {
                        "name": one.name,
                        "end": end_words(one.end),
                        "conversions": [conversion.name for conversion in ways[one.name].plan.conversions],
                        "losses": list(ways[one.name].plan.losses),
                        "refused": list(ways[one.name].refused),
                    }
                    for one in route.destinations
                ],
            }
        )
    return {
        "file": path,
        "state": None if config is None else config.state,
        "problems": findings.problems,
        "routes": routes,
        "findings": [{"what": one.what, "level": one.level, "words": one.words} for one in findings.found],
    }
