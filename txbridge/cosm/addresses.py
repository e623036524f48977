"""Which of the two versions of the API an address means, in all the ways it was ever written.

The service moved from host to host, and devices have its addresses burnt in, some as whole URLs:

==============================================  =========================================================
what a device asks for                          what it means
==============================================  =========================================================
``/v2/feeds/7.json``                            version 2
``/v1/feeds/7.xml``                             version 1 (api.pachube.com, from August 2010)
``/api/7.xml``, ``/api/feeds/7.xml``,           version 1 (www.pachube.com/api, before)
``/api.xml``, ``/api/feeds.xml``
``/feeds/7.json`` and the like,                 version 2: an address that lost its version on its way
on a host named ``api.…``                       through a proxy
``/feeds/7.xml`` on ``www.pachube.com``         version 1: how its documents named themselves
``/feeds/7/datastreams/0/history.png``,         version 1: the pictures and downloads of the web site
``…/history.csv``, ``…/archive.csv``
==============================================  =========================================================

A host is only looked at where a path says no version, so a hub answers alike under every name, and
an address means one thing.  Anything else is no address of the API.

Source: Pachube API v1 documentation; Cosm API v2, hosts and their names; Net::Pachube ``Pachube.pm``.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from txbridge.cosm.negotiation import split_path

__all__ = ["Address", "address_of"]

COLLECTIONS = frozenset({"feeds", "triggers", "keys", "users", "products", "devices"})
WEB_HOSTS = frozenset({"pachube.com", "www.pachube.com"})
DOWNLOADS = frozenset({"history", "archive"})


@frozen
class Address:
    """What an address names.

    Attributes:
        version: Of the API.
        segments: Of the path below the version, decoded.
        extension: The format extension, or None.
    """

    version: Literal[1, 2]
    segments: tuple[str, ...]
    extension: str | None


def address_of(path: str, host: str = "") -> Address | None:
    """What an address names, or None when it is none of the API.

    Args:
        path: Raw, still percent-encoded.
        host: The ``Host`` that was asked, or that of an absolute address.
    """
    try:
        (first, *rest), extension = split_path(path)
    except ValueError:
        return None
    if first == "v2" and rest:
        return Address(2, tuple(rest), extension)
    if first == "v1" and rest:
        return Address(1, tuple(rest), extension)
    if first == "api":
        below = rest if rest[:1] == ["feeds"] else ["feeds", *rest]
        known = len(below) == 1 or below[1].isdecimal()
        return Address(1, tuple(below), extension) if known else None
    if first == "feeds" and len(rest) == 4 and rest[1] == "datastreams" and rest[3] in DOWNLOADS:
        return Address(1, (first, *rest), extension)
    name = host.lower().partition(":")[0]
    if first in COLLECTIONS and name.startswith("api."):
        return Address(2, (first, *rest), extension)
    if first == "feeds" and name in WEB_HOSTS:
        return Address(1, (first, *rest), extension)
    return None
