"""The hub as a plugin of Twisted: ``twist txbridge-hub`` with the options of ``txbridge hub``.

Twisted's runners have no word for "it did not start": they end with status 0.  A service manager
would take that for success, so here a hub that cannot start ends the process with status 1, after
the reactor has shut everything down.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from txbridge.daemon import assembly
from txbridge.daemon.config import HubConfig, data_dir, hub_config
from txbridge.daemon.keys import key_text
from txbridge.daemon.relay_config import usual_relay_state
from txbridge.daemon.running import FAILED
from txbridge.daemon.service import HubService
from txbridge.errors import ConfigError
from txbridge.hub.store import MAX_FEEDS
from txbridge.net.reactor import make_steady, resolve_reactor

__all__ = ["Options", "makeService"]


class Options(TwistedOptions):
    """The options of the hub.

    Attributes:
        config: What they say, when all are read.
    """

    synopsis = "[options]"
    longdesc = "Serve the Cosm v2 API, and keep the history."
    optParameters = (
        ("data", None, data_dir(os.environ), "Where to keep the data."),
        ("api-key-file", None, None, "Use the key in this file as the owner's."),
        ("public-url", None, None, "Scheme and host that clients know the hub by."),
        ("requests-per-minute", None, None, "Refuse a key that makes more requests.", float),
        ("max-feeds", None, MAX_FEEDS, "The most feeds of an account.", int),
        ("relay-state", None, usual_relay_state(os.environ), "Show the owner the relay with this state."),
    )

    optFlags = (("public-graphs", None, "Show graphs of public feeds to who has no key."),)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted annotates no options
        self._listen: list[str] = []
        self._paws_tcp: list[str] = []
        self._allow_webhooks: list[str] = []
        self.config: HubConfig | None = None

    def opt_listen(self, endpoint: str) -> None:
        """Where to serve HTTP and WebSockets; may be given again."""
        self._listen.append(endpoint)

    def opt_paws_tcp(self, endpoint: str) -> None:
        """Where to serve the socket API over TCP; may be given again."""
        self._paws_tcp.append(endpoint)

    def opt_allow_webhooks(self, network: str) -> None:
        """Let triggers call this network of your own; may be given again."""
        self._allow_webhooks.append(network)

    def postOptions(self) -> None:
        """Called when all options are read.

        Raises:
            UsageError: Every problem.
        """
        try:
            self.config = hub_config(
                data=self["data"],
                listen=self._listen,
                paws_tcp=self._paws_tcp,
                api_key_text=key_text("--api-key-file", self["api-key-file"]),
                public_url=self["public-url"],
                requests_per_minute=self["requests-per-minute"],
                relay=self["relay-state"],
                public_graphs=bool(self["public-graphs"]),
                max_feeds=self["max-feeds"],
                allow_webhooks=self._allow_webhooks,
            )
        except ConfigError as error:
            raise UsageError("\n".join(error.problems)) from error


def makeService(options: Options, reactor: Any = None) -> HubService:
    """Make the hub; called by Twisted.

    Args:
        options: Read already.
        reactor: Where it runs; None is the global one, whose timers are made steady.
    """
    config = options.config
    if config is None:
        raise ConfigError(["the options were not read"])
    resolved = make_steady(resolve_reactor()) if reactor is None else reactor

    def give_up() -> None:
        resolved.addSystemEventTrigger("after", "shutdown", os._exit, FAILED)
        resolved.stop()

    return assembly.hub_service(resolved, config, give_up=give_up)
