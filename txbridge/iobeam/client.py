"""The client people hold: devices, stores of rows, sending, and queries, over HTTP.

Names and their arguments are those of iobeam's own Python client, whose calls that touch the network
return Deferreds here; each method has its name in snake_case too.  What is different on purpose is listed
in the documentation, "Coming from iobeam's own client".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredLock

from txbridge.errors import RemoteProtocolError, RequestRejected
from txbridge.iobeam import operations
from txbridge.iobeam.codec import token_payload
from txbridge.iobeam.device_file import read_device_file, write_device_file
from txbridge.iobeam.errors import BadArgument, DuplicateIdError, NoDeviceId
from txbridge.iobeam.points import DataPoint, DataSeries
from txbridge.iobeam.sending import send_store
from txbridge.iobeam.session import Session
from txbridge.iobeam.structures import (
    DataStore,
    DeviceInfo,
    ExportedSeries,
    QueryReq,
    Row,
    check_device_id,
    check_project_id,
    check_series_name,
    check_token,
)
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier
from txbridge.net.operation import Carrier, Operation
from txbridge.net.reactor import resolve_reactor
from txbridge.net.tls import ClientTls

__all__ = [
    "DEFAULT_BACKEND",
    "Client",
    "ClientBuilder",
    "fetchDeviceToken",
    "fetch_device_token",
    "login",
    "makeQuery",
    "make_query",
]

DEFAULT_BACKEND = "http://127.0.0.1:8080/v1/"
"""Where the embedded hub serves unless it is told otherwise; the hosted service is gone."""

DEADLINE = 30.0

T = TypeVar("T")


def _carrier(backend: str | None, **settings: Any) -> HttpCarrier:
    base = DEFAULT_BACKEND if backend is None else backend
    if urlsplit(base).path in ("", "/"):
        base = f"{base.rstrip('/')}/v1"
    return HttpCarrier(base, **settings)


async def _ask(backend: str | None, operation: Operation[T], token: str | None, settings: Any) -> T:
    """Run one operation by itself."""
    carrier = _carrier(backend, **settings)
    try:
        return await carrier.run(
            operation if token is None else operations.with_token(operation, check_token("token", token))
        )
    finally:
        await carrier.close()


class Client:
    """A project, a device of it, and the rows that wait to be sent for it.

    Each method that asks the service returns a Deferred that is already under way; cancelling it gives the
    exchange up.  Each may fail with `BadArgument`, a refusal (see `txbridge.iobeam.errors`), or
    `ConnectError`, `ConnectionLost`, `TimedOut`, `DecodeError` or `RemoteProtocolError`.

    Close it at the end.
    """

    def __init__(
        self,
        projectId: int,
        projectToken: str,
        *,
        backend: str | None = None,
        device_id: str | None = None,
        directory: str | PathLike[str] | None = None,
        on_new_token: Callable[[str], object] | None = None,
        trust: ClientTls | None = None,
        deadline: float = DEADLINE,
        pool_size: int = 4,
        reactor: Any = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Prepare a client; nothing is connected before the first request.  See `ClientBuilder` too.

        Args:
            projectId: The project.
            projectToken: A token that opens it.
            backend: Where the API is, with its ``/v1`` or without, and with a slash at its end or without;
                None is `DEFAULT_BACKEND`.
            device_id: The device, if it is registered.
            directory: Where the device's id is kept, in a file that iobeam's own client reads too; None
                is nowhere.
            on_new_token: Called with each token that comes in the place of another, so that it can be
                kept; the old one holds on for as long as its service says.
            trust: Whom to trust over TLS; None for the system's roots.
            deadline: Seconds that one request may take, with all that its token needs.
            pool_size: How many requests may be under way at once.
            reactor: Where it runs; None is the global one.
            carrier: What runs the operations instead of HTTP to ``backend``.  It stays yours to close.

        Raises:
            ValueError: The project, its token or the device's id is none.
            ConfigError: The backend cannot be asked, or the file with the id cannot be read or written.
        """
        self._project_id = check_project_id(projectId)
        token = check_token("projectToken", projectToken)
        self._directory = None if directory is None else Path(fspath(directory))
        self._device_id: str | None = None
        if device_id is not None:
            self.setDeviceId(device_id)
        elif self._directory is not None:
            self._device_id = read_device_file(self._directory)
        reactor = resolve_reactor(reactor)
        token_payload(token)
        self._own: HttpCarrier | None = None
        if carrier is None:
            carrier = self._own = _carrier(
                backend, deadline=deadline, pool_size=pool_size, trust=trust, reactor=reactor
            )
        self._carrier: Carrier = carrier
        self._session = Session(carrier, reactor, token, deadline=deadline)
        self._session.on_new_token = on_new_token
        self._stores: list[DataStore] = []
        self._series: dict[str, DataStore] = {}
        self._sending = DeferredLock()

    def __repr__(self) -> str:
        return f"<iobeam.Client project={self._project_id} device={self._device_id!r}>"

    @property
    def project_id(self) -> int:
        """The project."""
        return self._project_id

    @property
    def project_token(self) -> str:
        """The token that is used now; another one than at first after it was refreshed."""
        return self._session.token

    @property
    def skew(self) -> float | None:
        """How many seconds the service's clock is ahead of this machine's; None before its first answer."""
        return self._carrier.skew if isinstance(self._carrier, HttpCarrier) else None

    @deferred
    async def close(self) -> None:
        """Close the connections.  What waits in stores stays there."""
        if self._own is not None:
            await self._own.close()

    def run(self, operation: Operation[T]) -> Deferred[T]:
        """Run any operation with this client's token.

        Args:
            operation: Of `txbridge.iobeam.operations`, or your own.
        """
        return self._session.run(operation)

    # -- the device

    def getDeviceId(self) -> str | None:
        """The device's id, if there is one."""
        return self._device_id

    def setDeviceId(self, deviceId: str) -> None:
        """Use a device that is registered; its id is kept if there is a directory for it.

        Raises:
            ValueError: It is no id.
            ConfigError: The file cannot be written.
        """
        self._device_id = check_device_id(deviceId)
        if self._directory is not None:
            write_device_file(self._directory, deviceId)

    def is_registered(self) -> bool:
        """Whether there is a device's id; the service is not asked."""
        return self._device_id is not None

    @deferred
    async def registerDevice(
        self, deviceId: str | None = None, deviceName: str | None = None, setOnDupe: bool = False
    ) -> Client:
        """Register the device; nothing is asked if there is an id and none, or the same one, is given.

        Args:
            deviceId: Its id; None lets the service choose.
            deviceName: Its name; None is its id.
            setOnDupe: Take the id all the same if a device of the project has it: that is this one.

        Returns:
            The client.

        Raises:
            DuplicateIdError: Another device has the id.
            DuplicateNameError: Another device has the name.
            UnauthorizedError: The token may not write.
        """
        if deviceId is not None:
            check_device_id(deviceId)
        if self._device_id is not None and deviceId in (None, self._device_id):
            return self
        try:
            device = await self.run(operations.register_device(self._project_id, deviceId, deviceName))
        except DuplicateIdError:
            if not setOnDupe or deviceId is None:
                raise
            self.setDeviceId(deviceId)
        else:
            try:
                self.setDeviceId(device.device_id)
            except BadArgument as error:
                raise RemoteProtocolError("register_device", f"the id that it gave {error.reason}") from None
        return self

    @deferred
    async def list_devices(self) -> list[DeviceInfo]:
        """List the devices of the project."""
        return await self.run(operations.list_devices(self._project_id))

    @deferred
    async def read_device(self, device_id: str) -> DeviceInfo:
        """Read what the service says of a device."""
        return await self.run(operations.read_device(self._project_id, device_id))

    @deferred
    async def update_device(
        self, device_id: str, *, device_name: str | None = None, device_type: str | None = None
    ) -> None:
        """Change a device's name or type."""
        await self.run(
            operations.update_device(
                self._project_id, device_id, device_name=device_name, device_type=device_type
            )
        )

    @deferred
    async def delete_device(self, device_id: str) -> None:
        """Delete a device with its data."""
        await self.run(operations.delete_device(self._project_id, device_id))

    def device_timestamp(self) -> Deferred[int]:
        """Read the service's clock: whole milliseconds since 1970."""
        return self.run(operations.device_timestamp())

    # -- what waits to be sent

    def createDataStore(self, columns: Sequence[str]) -> DataStore:
        """A store whose rows `send` sends: the one that has these columns, in whatever order, or a new one.

        Raises:
            ValueError: The columns are none; see `DataStore`.
        """
        new = DataStore(columns)
        for store in self._stores:
            if store.has_same_columns(new.columns()):
                return store
        self._stores.append(new)
        return new

    def addDataStore(self, store: DataStore) -> None:
        """Let `send` send the rows of a store; one that was added before is not added again.

        Raises:
            ValueError: It is no store.
        """
        if not isinstance(store, DataStore):
            raise BadArgument("store", f"must be a DataStore, not a {type(store).__name__}")
        if not any(known is store for known in self._stores):
            self._stores.append(store)

    def addDataPoint(self, seriesName: str, datapoint: DataPoint) -> None:
        """Add a point of a series.

        Raises:
            ValueError: The name is none, or the point is none.
        """
        check_series_name(seriesName)
        if not isinstance(datapoint, DataPoint):
            raise BadArgument("datapoint", f"must be a DataPoint, not a {type(datapoint).__name__}")
        store = self._series.setdefault(seriesName, DataStore([seriesName]))
        store.add(datapoint.timestamp, {seriesName: datapoint.value})

    def addDataSeries(self, series: DataSeries) -> None:
        """Add the points of a series.

        Raises:
            ValueError: It is no series.
        """
        if not isinstance(series, DataSeries):
            raise BadArgument("series", f"must be a DataSeries, not a {type(series).__name__}")
        for point in series.get_points():
            self.addDataPoint(series.get_name(), point)

    def clearSeries(self, seriesName: str) -> None:
        """Drop the points of a series that wait."""
        store = self._series.pop(seriesName, None)
        if store is not None:
            store.clear()

    @deferred
    async def send(self) -> bool:
        """Send the rows and points that wait now.  Two sendings come one after the other.

        What has arrived is taken out of its store at once, and never sent again; what has not is there for
        the next sending, whatever went wrong.  (When an answer does not come, nobody knows whether the
        piece has arrived: it is sent again, which changes nothing in a history.)  A piece that the
        service refuses stays, and the others are sent.

        Returns:
            True: everything has arrived.

        Raises:
            NoDeviceId: There is no device to send for.
            RequestRejected: The service refused some of it; the first of its reasons.
            BridgeError: The sending ended early.
        """
        await self._sending.acquire()
        try:
            if self._device_id is None:
                raise NoDeviceId
            refusals: list[RequestRejected] = []
            for store in [*self._stores, *self._series.values()]:
                refused = await send_store(store, self.import_table)
                if refused is not None:
                    refusals.append(refused)
        finally:
            self._sending.release()
        if refusals:
            raise refusals[0]
        return True

    @deferred
    async def import_table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Send rows of some columns by themselves, in one request.

        Args:
            columns: The names of the series.
            rows: At most 1000 divided by the number of columns.

        Raises:
            NoDeviceId: There is no device to send for.
            RequestRejected: The service refused it, all of it.
        """
        if self._device_id is None:
            raise NoDeviceId
        await self.run(operations.import_table(self._project_id, self._device_id, columns, rows))

    # -- queries and tokens

    @deferred
    async def export(self, qry: QueryReq) -> list[ExportedSeries]:
        """Read series, with their times in microseconds."""
        return await self.run(operations.export(_checked(qry)))

    @staticmethod
    @deferred
    async def query(token: str, qry: QueryReq, backend: str | None = None, **settings: Any) -> dict[str, Any]:
        """Read series, by themselves, as the service writes them.

        Args:
            token: A project token that may read.
            qry: What to ask for.
            backend: Where the API is; see `Client`.
            settings: What `HttpCarrier` takes besides, such as ``deadline`` and ``reactor``.

        Returns:
            An object with ``result``: a list of ``{"device_id", "name", "data": [{"time", "value"}, …]}``.

        Raises:
            ValueError: The token or the query is none.
            RequestRejected: The service refused it.
        """
        operation = operations.query(_checked(qry))
        return await _ask(backend, operation, check_token("token", token), settings)

    @staticmethod
    @deferred
    async def fetchToken(
        userToken: str,
        projectId: int,
        duration: str | None = None,
        options: Mapping[str, Any] | None = None,
        backend: str | None = None,
        **settings: Any,
    ) -> str:
        """Ask for a project token; fires with it.

        Args:
            userToken: The token of a user of the project.
            projectId: The project.
            duration: How long it holds: a number and one of ``w``, ``d``, ``h``, ``m`` and ``s``.
            options: ``read``, ``write``, ``admin``, ``refreshable``: each true or false; ``device_id``.
            backend: Where the API is; see `Client`.
            settings: What `HttpCarrier` takes besides.
        """
        operation = operations.fetch_token(projectId, duration, options)
        grant = await _ask(backend, operation, check_token("userToken", userToken), settings)
        return grant.token

    projectId = project_id
    projectToken = project_token
    get_device_id = getDeviceId
    set_device_id = setDeviceId
    isRegistered = is_registered
    register_device = registerDevice
    create_data_store = createDataStore
    add_data_store = addDataStore
    add_data_point = addDataPoint
    add_data_series = addDataSeries
    clear_series = clearSeries
    fetch_token = fetchToken


class ClientBuilder:
    """Says what a client is to be, and makes it."""

    def __init__(self, projectId: int, projectToken: str, **settings: Any) -> None:
        """Begin.

        Args:
            projectId: The project.
            projectToken: A token that opens it.
            settings: What `Client` takes besides, such as ``deadline``, ``on_new_token`` and ``reactor``.

        Raises:
            ValueError: One of them is none.
        """
        self._project_id = check_project_id(projectId)
        self._token = check_token("projectToken", projectToken)
        self._settings = settings
        self._registration: tuple[str | None, str | None, bool] | None = None

    def __repr__(self) -> str:
        return f"<iobeam.ClientBuilder project={self._project_id}>"

    def saveToDisk(self, path: str | PathLike[str] = ".") -> ClientBuilder:
        """Keep the device's id in a directory, and begin with the one that is there."""
        self._settings["directory"] = path
        return self

    def setDeviceId(self, deviceId: str) -> ClientBuilder:
        """Use a device that is registered.

        Raises:
            ValueError: It is no id.
        """
        self._settings["device_id"] = check_device_id(deviceId)
        return self

    def registerDevice(self, deviceId: str | None = None, deviceName: str | None = None) -> ClientBuilder:
        """Register the device, if no id is kept on the disk or it is another one.

        Raises:
            ValueError: It is no id.
        """
        self._registration = (None if deviceId is None else check_device_id(deviceId), deviceName, False)
        return self

    def registerOrSetId(self, deviceId: str, deviceName: str | None = None) -> ClientBuilder:
        """Register the device, or use the one of the project that has the id.

        Raises:
            ValueError: It is no id.
        """
        self._registration = (check_device_id(deviceId), deviceName, True)
        return self

    def setBackend(self, baseUrl: str) -> ClientBuilder:
        """Use another service than `DEFAULT_BACKEND`."""
        self._settings["backend"] = baseUrl
        return self

    @deferred
    async def build(self) -> Client:
        """Make the client: read or keep the device's id, and register the device if that is wanted.

        Raises:
            ValueError: The token is none, or the file holds no id.
            ConfigError: The backend cannot be asked, or the file cannot be read or written.
            BridgeError: The device cannot be registered.
        """
        client = Client(self._project_id, self._token, **self._settings)
        built = False
        try:
            if self._registration is not None:
                await client.registerDevice(*self._registration)
            built = True
        finally:
            if not built:
                await client.close()
        return client

    save_to_disk = saveToDisk
    set_device_id = setDeviceId
    register_device = registerDevice
    register_or_set_id = registerOrSetId
    set_backend = setBackend


def _checked(query: Any) -> QueryReq:
    if not isinstance(query, QueryReq):
        raise BadArgument("qry", f"must be a QueryReq, not a {type(query).__name__}")
    return query


def make_query(
    token: str, qry: QueryReq, backend: str | None = None, **settings: Any
) -> Deferred[dict[str, Any]]:
    """Read series; see `Client.query`."""
    return Client.query(token, qry, backend, **settings)


def fetch_device_token(
    userToken: str,
    projectId: int,
    deviceId: str,
    duration: str | None = None,
    options: Mapping[str, Any] | None = None,
    backend: str | None = None,
    **settings: Any,
) -> Deferred[str]:
    """Ask for a project token of one device; see `Client.fetchToken`."""
    asked = {**(options or {}), "device_id": deviceId}
    return Client.fetchToken(userToken, projectId, duration, asked, backend, **settings)


@deferred
async def login(name: str, password: str, backend: str | None = None, **settings: Any) -> str:
    """Log in; fires with the token of a user, for `Client.fetchToken`.

    Args:
        name: The user.
        password: The user's password.
        backend: Where the API is; see `Client`.
        settings: What `HttpCarrier` takes besides.
    """
    return (await _ask(backend, operations.login(name, password), None, settings)).token


makeQuery = make_query
fetchDeviceToken = fetch_device_token
