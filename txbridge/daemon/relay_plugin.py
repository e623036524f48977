"""The relay as a plugin of Twisted: ``twist txbridge-relay --config FILE``.

It reads the file as ``txbridge relay run`` does, and again at SIGHUP.  As with the hub, one that cannot
start ends the process with status 1, which Twisted's runners would not.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from txbridge.daemon.relay_config import RelayConfig
from txbridge.daemon.relay_daemon import RelayDaemon
from txbridge.daemon.relay_run import begin_reloads, runnable_config, say_what_runs
from txbridge.daemon.running import FAILED
from txbridge.errors import BridgeError, ConfigError
from txbridge.net.deferred import deferred
from txbridge.net.reactor import make_steady, resolve_reactor

__all__ = ["Options", "makeService"]


class Options(TwistedOptions):
    """The options of the relay.

    Attributes:
        config: What the file says, when all are read.
    """

    synopsis = "[options]"
    longdesc = "Carry data from sources to destinations without losing a point."
    optParameters = (("config", None, "relay.toml", "The configuration."),)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted annotates no options
        self.config: RelayConfig | None = None

    def postOptions(self) -> None:
        """Called when all options are read.

        Raises:
            UsageError: Every problem of the file.
        """
        try:
            self.config = runnable_config(self["config"], os.environ)
        except ConfigError as error:
            raise UsageError("\n".join(error.problems)) from error


class RelayPlugin(Service):
    """Runs a relay as a part of a Twisted application.

    Args:
        reactor: Where it runs.
        config: What it is.
    """

    _log = Logger()

    def __init__(self, reactor: Any, config: RelayConfig) -> None:
        self._reactor = reactor
        self._config = config
        self._relay = RelayDaemon(reactor, config, os.environ)
        self._starting: Deferred[None] | None = None
        self._end_reloads: Any = None

    def startService(self) -> None:
        """Called by the parent service.  A start that fails ends the program."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        self._starting = self._relay.start()
        self._starting.addCallbacks(self._started, self._not_started)

    @deferred
    async def stopService(self) -> None:
        """Called by the parent service."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        starting, self._starting = self._starting, None
        if starting is not None:
            await starting
        if self._end_reloads is not None:
            self._end_reloads()
        await self._relay.stop()

    def _started(self, nothing: None) -> None:
        say_what_runs(self._config)
        # Twisted's runner installs its own handlers when the reactor runs.
        self._reactor.callWhenRunning(self._listen_for_reloads)

    def _listen_for_reloads(self) -> None:
        self._end_reloads = begin_reloads(self._reactor, self._relay, os.environ)

    def _not_started(self, failure: Failure) -> None:
        if failure.check(BridgeError):
            self._log.critical("the relay did not start: {reason}", reason=str(failure.value))
        else:
            self._log.failure("the relay did not start", failure)
        self._reactor.callWhenRunning(self._give_up)

    def _give_up(self) -> None:
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, FAILED)
        self._reactor.stop()


def makeService(options: Options, reactor: Any = None) -> RelayPlugin:
    """Make the relay; called by Twisted.

    Args:
        options: Read already.
        reactor: Where it runs; None is the global one, whose timers are made steady.
    """
    if options.config is None:
        raise ConfigError(["the options were not read"])
    reactor = make_steady(resolve_reactor()) if reactor is None else reactor
    return RelayPlugin(reactor, options.config)
