"""``txbridge relay run``: a relay until it is stopped, and a new configuration at SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from time import monotonic
from types import FrameType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.daemon.notify import READY, STOPPING, notify, reloading, status
from txbridge.daemon.relay_assembly import routes_problems
from txbridge.daemon.relay_check import end_words
from txbridge.daemon.relay_config import RelayConfig
from txbridge.daemon.relay_daemon import RelayDaemon
from txbridge.daemon.relay_files import load_relay_config
from txbridge.daemon.running import DONE
from txbridge.errors import ConfigError
from txbridge.net.deferred import deferred

__all__ = ["begin_reloads", "relay_run", "runnable_config", "say_what_runs"]

_log = Logger(namespace="txbridge.relay")


def runnable_config(path: str, environ: Mapping[str, str]) -> RelayConfig:
    """Read a configuration that can be run.

    Raises:
        ConfigError: It cannot be read, or every problem with it; or a route would lose something that
            nothing accepts.
    """
    config = load_relay_config(path, environ)
    problems = [f"{path}: {problem}" for problem in routes_problems(config.routes)]
    if problems:
        raise ConfigError(problems)
    return config


@deferred
async def relay_run(reactor: Any, config: RelayConfig, environ: Mapping[str, str]) -> int:
    """Run a relay until it is stopped; being stopped is its usual end.

    Args:
        reactor: Where it runs.
        config: What it is.
        environ: Says how to tell the service manager, if there is one.
    """
    relay = RelayDaemon(reactor, config, environ)
    end_reloads = begin_reloads(reactor, relay, environ)
    try:
        await relay.start()
        say_what_runs(config)
        notify(environ, READY)
        await Deferred()
    except CancelledError:
        notify(environ, STOPPING)
    finally:
        end_reloads()
        await relay.stop()
    return DONE


def say_what_runs(config: RelayConfig) -> None:
    """Log a line for each route, so that whoever starts a relay sees what it does."""
    for route in config.routes.values():
        to = ", ".join(f"{one.name} ({end_words(one.end)})" for one in route.destinations)
        _log.info("route {route}: {source} -> {to}", route=route.name, source=end_words(route.source), to=to)


def begin_reloads(reactor: Any, relay: RelayDaemon, environ: Mapping[str, str]) -> Callable[[], None]:
    """Let SIGHUP read the configuration again; gives what ends that."""

    def reload() -> None:
        notify(environ, reloading(monotonic()))

        def done(result: bool | Failure) -> None:
            if isinstance(result, Failure):
                _log.failure("reading the configuration again failed", result)
            said = "" if result is True else "\n" + status("the new configuration was not taken")
            notify(environ, READY + said)

        file = relay.config.file
        relay.reload(lambda: runnable_config(file, environ)).addBoth(done)

    def hang_up(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(reload)

    before = signal.signal(signal.SIGHUP, hang_up)

    def end() -> None:
        signal.signal(signal.SIGHUP, before)

    return end
