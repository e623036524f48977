"""Products and their devices as JSON, and the rules that what is written of them must keep.

Requests are taken with or without their wrapper, as the documentation shows both: ``{"product": {…}}``,
``{"devices": [{"serial": …}]}``.

Source: Xively developer documentation, "List all products", "Activate a device".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from txbridge.codecs import cosm_json
from txbridge.codecs.json_answer import JsonObject, json_object
from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.refusal import Refusal, invalid
from txbridge.cosm.rules import writable_feed
from txbridge.hub.products import STATES, DeviceRecord, ProductRecord
from txbridge.hub.store import MAX_DATASTREAMS
from txbridge.model.instants import format_instant, shorten
from txbridge.model.structures import Environment
from txbridge.model.texts import MAX_TEXT, is_text

__all__ = [
    "ProductDocument",
    "activation_document",
    "device_document",
    "devices_document",
    "product_document",
    "products_document",
    "writable_product",
    "writable_serial",
    "writable_serials",
]

MAX_DESCRIPTION = 10_000
MAX_SERIAL = 128
MAX_SERIALS = 1000  # of one request

_SERIAL = re.compile(rf"[A-Za-z0-9+\-_:,]{{1,{MAX_SERIAL}}}")


@frozen
class ProductDocument:
    """What a request says of a product; None is nothing.

    Attributes:
        name: What to call it.
        description: What it is.
        state: One of `STATES`.
        feed_defaults: What the feed of a device is made from.
    """

    name: str | None
    description: str | None
    state: str | None
    feed_defaults: Environment | None


def writable_product(body: bytes, limits: DecodeLimits, *, creating: bool) -> ProductDocument:
    """What a client may write of a product.

    Args:
        body: JSON.
        limits: What it may cost to read.
        creating: Whether a name is needed.

    Raises:
        DecodeError: It is no such document.
        Refusal: 422 with every broken rule.
    """
    document = _unwrapped(body, limits, "product")
    name, description, state = (document.maybe_text(one) for one in ("name", "description", "state"))
    problems: list[str] = []
    if name is not None and not name.strip():
        name = None
    if creating and name is None:
        problems.append("Name can't be blank")
    if state is not None and state not in STATES:
        problems.append(f"State must be one of {', '.join(STATES)}")
    for what, text, longest in (
        ("Name", name, MAX_TEXT),
        ("Description", description, MAX_DESCRIPTION),
    ):
        if text is not None and len(text) > longest:
            problems.append(f"{what} is too long (maximum is {longest} characters)")
        elif text is not None and not is_text(text):
            problems.append(f"{what} is not valid text")
    try:
        defaults = _defaults(document, limits)
    except Refusal as error:
        problems.append(f"Feed defaults: {error.errors}")
        defaults = None
    if problems:
        raise invalid(problems)
    return ProductDocument(name, description, state, defaults)


def _defaults(document: JsonObject, limits: DecodeLimits) -> Environment | None:
    inside = document.maybe_member("feed_defaults")
    if inside is None:
        return None
    text = json.dumps(inside.members, ensure_ascii=False, separators=(",", ":"))
    feed = cosm_json.decode(Environment, text.encode("utf-8", "surrogatepass"), limits=limits)
    writable_feed(feed, creating=False)
    if len(feed.datastreams) > MAX_DATASTREAMS:
        raise invalid([f"Datastreams: a feed can have at most {MAX_DATASTREAMS}"])
    feed.updated = None
    for stream in feed.datastreams.values():  # a device that was never on has measured nothing
        stream.current_value = stream.at = None
        stream.datapoints = []
    return feed


def writable_serials(body: bytes, limits: DecodeLimits) -> list[str]:
    """The serials of devices to add.

    Raises:
        DecodeError: It is no such document.
        Refusal: 422 with every broken rule.
    """
    document = json_object(cosm_json.parse(body, limits=limits))
    if "devices" in document.members:
        serials = [one.text("serial") for one in document.items("devices")]
    else:
        serials = [_serial(document)]
    if not serials:
        raise invalid(["Devices can't be blank"])
    if len(serials) > MAX_SERIALS:
        raise invalid([f"Devices: {len(serials)} are too many, at most {MAX_SERIALS} can be added at once"])
    problems = [_problem(serial) for serial in serials if _SERIAL.fullmatch(serial) is None]
    if problems:
        raise invalid(problems)
    return serials


def writable_serial(body: bytes, limits: DecodeLimits) -> str:
    """The new serial of a device.

    Raises:
        DecodeError: It is no such document.
        Refusal: 422, it is no serial.
    """
    serial = _serial(json_object(cosm_json.parse(body, limits=limits)))
    if _SERIAL.fullmatch(serial) is None:
        raise invalid([_problem(serial)])
    return serial


def _serial(document: JsonObject) -> str:
    return (document.maybe_member("device") or document).text("serial")


def _problem(serial: str) -> str:
    return (
        f"Serial {shorten(serial, 40)!r} is invalid: use up to {MAX_SERIAL} letters, digits, +, -, _, : and ,"
    )


def _unwrapped(body: bytes, limits: DecodeLimits, name: str) -> JsonObject:
    document = json_object(cosm_json.parse(body, limits=limits))
    return document.maybe_member(name) or document


# ------------------------------------------------------------------------------------------- answers


def product_document(record: ProductRecord) -> bytes:
    """A product, with its secret: only its owner is shown it."""
    return _written({"product": _product(record)})


def products_document(count: int, records: Sequence[ProductRecord]) -> bytes:
    """A page of products, and how many there are."""
    return _written({"totalResults": count, "products": [_product(record) for record in records]})


def device_document(record: DeviceRecord) -> bytes:
    """A device; its key is named by its reference."""
    return _written({"device": _device(record)})


def devices_document(count: int, records: Sequence[DeviceRecord]) -> bytes:
    """A page of devices, and how many there are."""
    return _written({"totalResults": count, "devices": [_device(record) for record in records]})


def activation_document(output: str, key: str, feed_id: int, datastreams: Sequence[str]) -> bytes:
    """What a device learns by being activated.

    Args:
        output: ``"json"`` or ``"csv"``.
        key: The text of its key.
        feed_id: Its feed.
        datastreams: Of the feed.
    """
    if output == "csv":
        return ",".join([key, str(feed_id), str(len(datastreams)), *datastreams]).encode() + b"\n"
    return _written({"apikey": key, "feed_id": feed_id, "datastreams": list(datastreams)})


def _product(record: ProductRecord) -> dict[str, Any]:
    return _present(
        product_id=record.id,
        name=record.name,
        description=record.description or "",  # xively4j fails without one
        secret=record.secret.hex(),
        state=record.state,
        devices_count=record.devices,
        activated_devices_count=record.activated,
        feed_defaults=json.loads(cosm_json.encode(evolve(record.feed_defaults, version=None))),
        user=record.owner,
    )


def _device(record: DeviceRecord) -> dict[str, Any]:
    return _present(
        serial=record.serial,
        activation_code=record.code,
        created_at=format_instant(record.created),
        activated_at=None if record.activated is None else format_instant(record.activated),
        feed_id=record.feed_id,
        api_key=record.key_reference,
    )


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _written(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
