"""The contract of projects: what iobeam's devices belong to, and what their tokens open.

A *project* has a number, which old devices have burnt in, and is owned by an account.  A *device* of it is a
feed of that account: what the device is called is the feed's title, what it sends are the feed's datastreams.
So whatever works with feeds works with devices: deleting the feed deletes the device, and vice versa.
Deleting a project takes its devices and tokens away; the feeds with their history stay the account's.

A *token* is kept as keys are: its digest, never its text.  It opens one project, or one device of it.  Tokens
that were refreshed go on working until they expire, because old clients go on using them; so do their
successors, and each knows the token it came of.  Removing one removes all that came of it.  Those that have
been expired for longer than `REFRESH_DAYS` are removed when another one is made.  A client whose token is
burnt in refreshes it at every start and forgets what it got: so of what came of one token, and was not
refreshed in its turn, the latest `MAX_REFRESHED` are kept.

Each write is durable when its Deferred fires, and is all or nothing, as those of `txbridge.hub.store` are.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from txbridge.hub.store import Written

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = [
    "MAX_PROJECTS",
    "MAX_REFRESHED",
    "MAX_TOKENS",
    "REFRESH_DAYS",
    "DeviceRecord",
    "NameTaken",
    "ProjectRecord",
    "Projects",
    "TokenRecord",
]

MAX_PROJECTS = 1000
"""The most projects of an account."""

MAX_TOKENS = 10_000
"""The most tokens of a project."""

MAX_REFRESHED = 100
"""The most tokens that came of one and were not refreshed in their turn."""

REFRESH_DAYS = 30
"""How long after its expiry a token may be refreshed."""


class NameTaken(Exception):
    """There is a device with this name in the project."""


@frozen
class ProjectRecord:
    """A project.

    Attributes:
        id: Its number.
        owner: Login of the account.
        name: What its owner calls it.
        created: When it was made.
    """

    id: int
    owner: str
    name: str
    created: datetime


@frozen
class DeviceRecord:
    """A device.

    Attributes:
        project_id: Its project.
        id: The text that it sends with its data.
        name: Unique in the project; also the feed's title, until somebody changes that.
        type: What kind of thing it is, or None.
        feed_id: Where its data is.
        created: When it was registered.
    """

    project_id: int
    id: str
    name: str
    type: str | None
    feed_id: int
    created: datetime


@frozen
class TokenRecord:
    """A token.

    Attributes:
        digest: SHA-256 of its text.
        project_id: What it opens.
        created: When it was made.
        expires: When it stops working; None is never.
        device_id: The one device that it is for; None is any.
        read: Whether it may query.
        write: Whether it may register devices and send data.
        admin: Whether it may delete devices.
        refreshable: Whether it can be exchanged for a new one.
        parent: The number of the one it was refreshed from, or None.
        id: Its own number; the store chooses it.
    """

    digest: bytes = field(repr=False)
    project_id: int
    created: datetime
    expires: datetime | None = None
    device_id: str | None = None
    read: bool = False
    write: bool = False
    admin: bool = False
    refreshable: bool = False
    parent: int | None = None
    id: int = 0


class Projects(Protocol):
    """What a store of projects can do.  Every method fails with `StoreError` when the storage fails."""

    def create_project(
        self, owner: str, name: str, now: datetime, project_id: int | None = None
    ) -> Deferred[ProjectRecord]:
        """Make a project.

        Args:
            owner: Login of the account.
            name: What to call it.
            now: The time.
            project_id: The number it must have; None lets the store choose.

        Raises:
            Missing: There is no such account.
            Taken: There is a project with this number.
            Full: The account has `MAX_PROJECTS`.
        """

    def read_project(self, project_id: int) -> Deferred[ProjectRecord]:
        """A project.

        Raises:
            Missing: There is no such project.
        """

    def list_projects(self, owner: str) -> Deferred[list[ProjectRecord]]:
        """The projects of an account, by number."""

    def delete_project(self, project_id: int) -> Deferred[None]:
        """Remove a project with its devices and tokens; the devices' feeds stay.

        Raises:
            Missing: There is no such project.
        """

    def create_device(
        self, project_id: int, device_id: str, name: str, type: str | None, now: datetime
    ) -> Deferred[DeviceRecord]:
        """Register a device, and make its feed, which is private.

        Raises:
            Missing: There is no such project.
            Taken: There is a device with this id in the project.
            NameTaken: There is one with this name.
            AccountFull: The account has as many feeds as it can have.
        """

    def read_device(self, project_id: int, device_id: str) -> Deferred[DeviceRecord]:
        """A device.

        Raises:
            Missing: There is no such device.
        """

    def list_devices(self, project_id: int) -> Deferred[list[DeviceRecord]]:
        """The devices of a project, oldest first."""

    def update_device(
        self, project_id: int, device_id: str, name: str | None, type: str | None, now: datetime
    ) -> Deferred[Written | None]:
        """Change what a device is called, and its feed's title with it; what is None stays as it is.

        Returns:
            What happened to the feed; None when nothing was to be changed.

        Raises:
            Missing: There is no such device.
            NameTaken: There is another one with this name.
        """

    def delete_device(self, project_id: int, device_id: str) -> Deferred[Written]:
        """Remove a device with its feed and all its history.

        Raises:
            Missing: There is no such device.
        """

    def create_token(self, record: TokenRecord) -> Deferred[TokenRecord]:
        """Add a token; gives it back with its number.  The oldest of more than `MAX_REFRESHED` goes.

        Raises:
            Missing: There is no such project, or not the device it is for.
            Taken: There is a token with this digest.
            Full: The project has `MAX_TOKENS`.
        """

    def find_token(self, digest: bytes) -> Deferred[TokenRecord | None]:
        """The token with this digest."""

    def read_token(self, token_id: int) -> Deferred[TokenRecord]:
        """The token with this number.

        Raises:
            Missing: There is no such token.
        """

    def list_tokens(self, project_id: int) -> Deferred[list[TokenRecord]]:
        """The tokens of a project, oldest first."""

    def delete_token(self, token_id: int) -> Deferred[None]:
        """Remove a token, and those that came of it by refreshing.

        Raises:
            Missing: There is no such token.
        """
