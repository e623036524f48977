"""What the hub's page shows of a relay on the same machine: how it is, and its ledger.

The relay is another process.  It is asked at the socket in its state directory, and its ledger is read from
the file beside it, so the page shows what was lost also while no relay runs.  Only the hub's owner may look.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from attrs import asdict
from twisted.internet.defer import Deferred

from txbridge.daemon.relay_control import ask_relay
from txbridge.daemon.relay_state import LEDGER_FILE
from txbridge.errors import BridgeError, OutboxError, StoreError
from txbridge.hub.auth import OWNER, Accounts, Credentials, may_manage
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request, Response
from txbridge.relay.ledger import LedgerFilter, read_ledger, read_ledger_sums

__all__ = ["RelayWindow"]

ROWS = 200  # of the ledger, the newest


class RelayWindow:
    """Answers ``/relay/status`` and ``/relay/ledger``.

    Args:
        reactor: Where it runs.
        state: The relay's state directory; there may be none yet.
        accounts: Finds whose key a request carries.
        run: Runs a function in a thread.
    """

    def __init__(
        self,
        reactor: Any,
        state: str,
        accounts: Accounts,
        run: Callable[[Callable[[], Any]], Deferred[Any]],
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._accounts = accounts
        self._run = run

    @deferred
    async def respond(self, request: Request) -> Response:
        """Answer a request whose path begins with ``/relay/``."""
        try:
            principal = await self._accounts.authenticate(Credentials.of(request.headers, None))
        except StoreError:
            return _json(503, {"errors": "The storage is not available at the moment"})
        if principal is None:
            return _json(401, {"errors": "You must supply a valid API key"})
        if principal.login != OWNER or not may_manage(principal):
            return _json(403, {"errors": "Only the owner of the hub may look at its relay"})
        if request.path == "/relay/status":
            return await self._status()
        if request.path == "/relay/ledger":
            return await self._ledger(dict(parse_qsl(request.query)))
        return _json(404, {"errors": "There is /relay/status and /relay/ledger"})

    async def _status(self) -> Response:
        try:
            return _json(200, await ask_relay(self._reactor, self._state))
        except BridgeError as error:
            return _json(200, {"routes": [], "reasons": [str(error)]})

    async def _ledger(self, parameters: dict[str, str]) -> Response:
        path = Path(self._state) / LEDGER_FILE
        wanted = LedgerFilter(
            route=parameters.get("route") or None,
            destination=parameters.get("destination") or None,
            kind=parameters.get("kind") or None,
            stream=parameters.get("stream") or None,
        )

        def read() -> dict[str, Any]:
            if not path.exists():
                return {"rows": [], "sums": []}
            return {
                "rows": [asdict(row) for row in read_ledger(path, wanted, limit=ROWS)],
                "sums": [asdict(one) for one in read_ledger_sums(path, wanted)],
            }

        try:
            return _json(200, await self._run(read))
        except OutboxError as error:
            return _json(503, {"errors": str(error)})


def _json(status: int, document: Any) -> Response:
    headers = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))
    return Response(status, headers, json.dumps(document, separators=(",", ":")).encode())
