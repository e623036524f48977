"""Triggers: the verbs by which an account has a URL called when a datastream's value does something.

The delivery log is an extension of ours: what fired, and what became of telling it.

Source: Cosm API v2, "Triggers".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from txbridge.codecs import cosm_json
from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.account_rules import writable_trigger
from txbridge.cosm.call import DONE, Call, Row, resource_number, some_feed
from txbridge.cosm.refusal import forbidden, invalid, not_found
from txbridge.hub.auth import may_trigger
from txbridge.hub.store import Missing, Store
from txbridge.model.accounts import Trigger, TriggerList
from txbridge.model.instants import format_instant
from txbridge.net.http1 import Response

__all__ = ["TriggerVerbs"]

FORMATS = ("json", "xml")


class TriggerVerbs:
    """Answers requests about triggers.

    Args:
        store: Keeps them.
        limits: What a document may cost to read.
    """

    def __init__(self, store: Store, limits: DecodeLimits) -> None:
        self._store = store
        self._limits = limits

    def rows(self) -> Sequence[Row]:
        """Their part of the server's table."""
        return (
            ("GET", "triggers", self._list_triggers, FORMATS),
            ("POST", "triggers", self._create_trigger, FORMATS),
            ("GET", "triggers/*", self._read_trigger, FORMATS),
            ("PUT", "triggers/*", self._update_trigger, FORMATS),
            ("DELETE", "triggers/*", self._delete_trigger, FORMATS),
            ("GET", "triggers/*/log", self._read_log, ("json",)),
        )

    async def _list_triggers(self, call: Call) -> Response:
        call.permit("get", some_feed(call.principal, None))
        records = await self._store.list_triggers(call.principal.login, call.asked_feed)
        return _answer(call, TriggerList(triggers=[record.trigger for record in records]))

    async def _create_trigger(self, call: Call) -> Response:
        call.permit("post", some_feed(call.principal, None))
        trigger = writable_trigger(call.decode(Trigger, self._limits))

        guard = call.guard("get", [trigger.stream_id])  # who may read a datastream may be told of it
        try:
            number = await self._store.create_trigger(call.principal.login, trigger, call.now, guard)
        except Missing as error:
            name = {"feed": "Environment", "datastream": "Stream"}[error.what]
            raise invalid([f"{name} does not exist"]) from None
        return call.created(f"/v2/triggers/{number}")

    async def _read_trigger(self, call: Call) -> Response:
        return _answer(call, await self._find(call))

    async def _update_trigger(self, call: Call) -> Response:
        known = await self._find(call)
        trigger = writable_trigger(call.decode(Trigger, self._limits), known=known)
        if trigger.url is not None:
            await self._permit_values(call, known)
        await self._store.update_trigger(known.id or 0, trigger, call.now)
        return DONE

    async def _delete_trigger(self, call: Call) -> Response:
        await self._store.delete_trigger((await self._find(call)).id or 0)
        return DONE

    async def _read_log(self, call: Call) -> Response:
        trigger = await self._find(call)
        await self._permit_values(call, trigger)
        lines = [
            {
                "at": format_instant(line.at),
                "value": line.value,
                "tries": line.tries,
                "outcome": line.outcome,
                "retry_at": None if line.due is None else format_instant(line.due),
            }
            for line in await self._store.list_notices(trigger.id or 0)
        ]
        return call.document(json.dumps({"log": lines}, ensure_ascii=False).encode())

    async def _permit_values(self, call: Call, trigger: Trigger) -> None:
        """Refuse a key that may not read what the trigger tells."""
        record = await self._store.read_feed(trigger.environment_id or 0, [])
        call.permit("get", record, datastream_id=trigger.stream_id)

    async def _find(self, call: Call) -> Trigger:
        """The trigger that an address names, if the key reaches it."""
        request = call.request
        trigger = (await self._store.read_trigger(resource_number(call.names[0]))).trigger
        if trigger.user != call.principal.login:
            raise not_found()
        method = "get" if request.method == "HEAD" else request.method
        if not may_trigger(
            call.principal, method, trigger, client=request.client, referer=request.headers.get("referer", "")
        ):
            raise forbidden()
        return trigger


def _answer(call: Call, structure: Trigger | TriggerList) -> Response:
    if call.output == "json":
        return call.document(cosm_json.encode(structure, zone=call.zone, notified_always=True))
    return call.answer(structure)
