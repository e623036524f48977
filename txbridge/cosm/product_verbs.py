"""Products: the verbs by which a manufacturer's devices get their feeds and keys.

Managing products takes a key that may do everything, because what it makes gives keys away.  Activating a
device takes none the first time, but its activation code, which nobody can guess: 160 bits, and an address
may try so often.  The device's key is told once, in the answer.  After that the code alone opens nothing:

* the device's own key is answered with itself, so a device may ask at each start;
* a key of the account that may do everything gets a new key for the device, and the old one ends.

Source: Xively developer documentation, "Activate a device", "API resources".
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.call import DONE, Call, Row, other_formats, permit_account
from txbridge.cosm.negotiation import CONTENT_TYPES
from txbridge.cosm.product_documents import (
    activation_document,
    device_document,
    devices_document,
    product_document,
    products_document,
    writable_product,
    writable_serial,
    writable_serials,
)
from txbridge.cosm.refusal import Refusal, forbidden, invalid, no_route, not_found
from txbridge.cosm.search import page_of
from txbridge.hub.auth import Accounts, Credentials, digest_of, generate_key, may_everything
from txbridge.hub.products import (
    MAX_DEVICES,
    MAX_PRODUCTS,
    Activated,
    DeviceRecord,
    ProductRecord,
    Products,
)
from txbridge.hub.store import Full, Store, Taken
from txbridge.hub.telling import Telling
from txbridge.net.http1 import Response

__all__ = ["ACTIVATION", "ProductVerbs"]

ACTIVATION = ("devices", "*", "activate")
"""What may be asked for without a key."""

FORMATS = ("json",)


class ProductVerbs:
    """Answers requests about products and their devices.

    Args:
        products: Keeps them.
        store: Keeps the feeds.
        telling: Tells who listens of feeds that are made.
        accounts: Is told of keys that are gone.
        limits: What a document may cost to read.
    """

    def __init__(
        self, products: Products, store: Store, telling: Telling, accounts: Accounts, limits: DecodeLimits
    ) -> None:
        self._products = products
        self._store = store
        self._telling = telling
        self._accounts = accounts
        self._limits = limits

    def rows(self) -> Sequence[Row]:
        """Their part of the server's table."""
        return (
            ("GET", "products", self._list_products, FORMATS),
            ("POST", "products", self._create_product, FORMATS),
            ("GET", "products/*", self._read_product, FORMATS),
            ("PUT", "products/*", self._update_product, FORMATS),
            ("DELETE", "products/*", self._delete_product, FORMATS),
            ("GET", "products/*/devices", self._list_devices, FORMATS),
            ("POST", "products/*/devices", self._create_devices, FORMATS),
            ("GET", "products/*/devices/*", self._read_device, FORMATS),
            ("PUT", "products/*/devices/*", self._update_device, FORMATS),
            ("DELETE", "products/*/devices/*", self._delete_device, FORMATS),
            ("GET", "/".join(ACTIVATION), self._activate, ("json", "csv")),
        )

    # -------------------------------------------------------------------------------------- products

    async def _list_products(self, call: Call) -> Response:
        _permit(call)
        count, records = await self._products.list_products(call.principal.login, *page_of(call.parameters))
        return call.document(products_document(count, records))

    async def _create_product(self, call: Call) -> Response:
        _permit(call)
        document = writable_product(_json(call), self._limits, creating=True)
        try:
            record = await self._products.create_product(
                call.principal.login,
                document.name or "",
                call.now,
                description=document.description,
                state=document.state,
                feed_defaults=document.feed_defaults,
            )
        except Full:
            raise invalid([f"Products: an account can have at most {MAX_PRODUCTS}"]) from None
        return call.created(f"/v2/products/{record.id}")

    async def _read_product(self, call: Call) -> Response:
        return call.document(product_document(await self._find(call)))

    async def _update_product(self, call: Call) -> Response:
        record = await self._find(call)
        document = writable_product(_json(call), self._limits, creating=False)
        await self._products.update_product(
            record.id,
            name=document.name,
            description=document.description,
            state=document.state,
            feed_defaults=document.feed_defaults,
        )
        return DONE

    async def _delete_product(self, call: Call) -> Response:
        for digest in await self._products.delete_product((await self._find(call)).id):
            self._accounts.forget(digest)
        return DONE

    async def _find(self, call: Call) -> ProductRecord:
        """The product that an address names, if it is the account's own."""
        _permit(call)
        record = await self._products.read_product(call.names[0])
        if record.owner != call.principal.login:
            raise not_found()
        return record

    # --------------------------------------------------------------------------------------- devices

    async def _list_devices(self, call: Call) -> Response:
        record = await self._find(call)
        count, devices = await self._products.list_devices(record.id, *page_of(call.parameters))
        return call.document(devices_document(count, devices))

    async def _create_devices(self, call: Call) -> Response:
        record = await self._find(call)
        serials = writable_serials(_json(call), self._limits)
        try:
            await self._products.create_devices(record.id, serials, call.now)
        except Taken as error:
            raise invalid([f"Serial has already been taken: {error.id}"]) from None
        except Full:
            raise invalid([f"Devices: a product can have at most {MAX_DEVICES}"]) from None
        return call.created(f"/v2/products/{record.id}/devices/{quote(serials[0], safe='')}")

    async def _read_device(self, call: Call) -> Response:
        record = await self._find(call)
        return call.document(device_document(await self._products.read_device(record.id, call.names[1])))

    async def _update_device(self, call: Call) -> Response:
        record = await self._find(call)
        serial = writable_serial(_json(call), self._limits)
        try:
            await self._products.rename_device(record.id, call.names[1], serial)
        except Taken as error:
            raise invalid([f"Serial has already been taken: {error.id}"]) from None
        except Activated:
            raise invalid(["Serial can't be changed: the device has been activated"]) from None
        return DONE

    async def _delete_device(self, call: Call) -> Response:
        record = await self._find(call)
        digest = await self._products.delete_device(record.id, call.names[1])
        if digest is not None:
            self._accounts.forget(digest)
        return DONE

    # ------------------------------------------------------------------------------------ activation

    async def _activate(self, call: Call) -> Response:
        if call.request.method != "GET":
            raise no_route(call.request.method, call.request.path)  # HEAD would lose the key
        device = await self._products.find_device(call.names[0].lower())
        if device is None:
            raise not_found()
        again = device.activated is not None
        if again and not _is_master(call, device):
            return await self._acknowledge(call, device)
        text = generate_key()
        try:
            done = await self._products.activate(device.code, digest_of(text), call.now, again=again)
        except Activated:
            raise _activated_already() from None
        if done.replaced is not None:
            self._accounts.forget(done.replaced)
        if done.written is not None:
            self._telling.tell(done.written)
        return _secret(call, activation_document(call.output, text, done.feed_id, done.datastreams))

    async def _acknowledge(self, call: Call, device: DeviceRecord) -> Response:
        """Answer the key of the device's own feed with itself."""
        credentials = Credentials.of(call.request.headers, call.parameters.text("key"))
        principal = call.principal
        if credentials is None or device.feed_id is None or principal.login != device.owner:
            raise _activated_already()
        record = await self._store.read_feed(device.feed_id)
        if not principal.reference or not call.may("get", record):
            raise _activated_already()
        names = sorted(record.environment.datastreams)
        return _secret(call, activation_document(call.output, credentials.key, device.feed_id, names))


def _permit(call: Call) -> None:
    """Refuse a key that is limited in any way; one that gives keys away must have all they have."""
    permit_account(call)
    if not may_everything(call.principal):
        raise forbidden()


def _is_master(call: Call, device: DeviceRecord) -> bool:
    return call.principal.login == device.owner and may_everything(call.principal)


def _activated_already() -> Refusal:
    return Refusal(403, "Forbidden", "This device has already been activated")


def _json(call: Call) -> bytes:
    if call.written_in not in FORMATS:
        raise other_formats(FORMATS, call.written_in)
    return call.request.body


def _secret(call: Call, body: bytes) -> Response:
    """An answer that nobody on the way may keep."""
    return Response(200, (("Content-Type", CONTENT_TYPES[call.output]), ("Cache-Control", "no-store")), body)
