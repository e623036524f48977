"""The files in which Joule's client keeps the nodes it knows, read and written as it does.

``nodes.json`` lists names, URLs and keys, ``default_node.txt`` names the one that is meant when
none is named, and ``ca.crt`` holds the roots that sign the nodes' certificates.  They are in
``$JOULE_USER_CONFIG_DIR``, or else in ``~/.joule``, and nobody else may read them.

A file is replaced, never changed, so a reader sees the old one or the new one.

Source: Joule 1.0.1, ``api/helpers.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from txbridge.joule.client import Node
from txbridge.joule.errors import UnknownNode
from txbridge.net.private_file import replace_private
from txbridge.net.tls import client_tls

__all__ = [
    "create_tcp_node",
    "delete_node",
    "get_node",
    "get_nodes",
    "save_node",
    "set_default_node",
]

_NO_NODES = "No nodes available, use [joule admin authorize] or [joule node add]"


@frozen
class _Entry:
    """One line of ``nodes.json``."""

    name: str
    url: str
    key: str = field(repr=False)


def create_tcp_node(url: str, key: str, name: str = "node", **settings: Any) -> Node:
    """A node that need not be in any file.

    Args:
        url: Where it is.
        key: Its key.
        name: What to call it.
        settings: What `Node` takes besides; ``trust`` is the configuration's ``ca.crt`` unless given.

    Raises:
        ConfigError: The URL, the key or ``ca.crt`` cannot be used.
    """
    if settings.get("trust") is None and url.startswith("https:"):
        roots = _directory() / "ca.crt" if _has_directory() else None
        if roots is not None and roots.is_file():
            settings["trust"] = client_tls(roots)
    return Node(url, key, name=name, **settings)


def get_node(name: str = "", **settings: Any) -> Node:
    """The node of this name, or the default one, which is the first if none is chosen or it is gone.

    Args:
        name: Of the node; empty for the default.
        settings: What `Node` takes besides, such as ``deadline`` and ``reactor``.

    Raises:
        UnknownNode: There is no such node, or none at all, or a file cannot be read.
    """
    directory = _directory()
    entries = _read(directory)
    if name:
        return _node(_find(entries, name), settings)
    if not entries:
        raise UnknownNode([_NO_NODES])
    default = entries.get(_read_default(directory)) or next(iter(entries.values()))
    return _node(default, settings)


def get_nodes(**settings: Any) -> list[Node]:
    """Every node, in the order of the file.

    Args:
        settings: What `Node` takes besides.

    Raises:
        UnknownNode: The file cannot be read.
    """
    return [_node(entry, settings) for entry in _read(_directory()).values()]


def save_node(node: Node) -> None:
    """Keep a node, or what changed of it; it becomes the default if there is none.

    Raises:
        UnknownNode: The file cannot be read.
    """
    directory = _directory()
    entries = _read(directory)
    entries[node.name] = _Entry(node.name, node.url, node.api_key or "")
    _write(directory, entries)
    if not _read_default(directory):
        _replace(directory / "default_node.txt", node.name + "\n")


def delete_node(node: Node | str) -> None:
    """Forget a node; if it was the default, the first of the others becomes it.

    Raises:
        UnknownNode: There is no such node, or the file cannot be read.
    """
    name = node.name if isinstance(node, Node) else node
    directory = _directory()
    entries = _read(directory)
    if name not in entries:
        raise UnknownNode([f"Node [{name}] does not exist"])
    del entries[name]
    _write(directory, entries)
    if _read_default(directory) not in entries:
        _replace(directory / "default_node.txt", f"{next(iter(entries))}\n" if entries else "")


def set_default_node(node: Node | str) -> None:
    """Say which node is meant when none is named.

    Raises:
        UnknownNode: There is no such node, or the file cannot be read.
    """
    name = node.name if isinstance(node, Node) else node
    if not name:
        raise UnknownNode(["Specify a node name, may not be empty"])
    directory = _directory()
    if name not in _read(directory):
        raise UnknownNode(["Invalid node name, view nodes with [joule node list]"])
    _replace(directory / "default_node.txt", name + "\n")


# ------------------------------------------------------------------------------------------- the files


def _node(entry: _Entry, settings: Mapping[str, Any]) -> Node:
    return create_tcp_node(entry.url, entry.key, entry.name, **settings)


def _find(entries: Mapping[str, _Entry], name: str) -> _Entry:
    try:
        return entries[name]
    except KeyError:
        reason = f"Node [{name!r}] is not available, add it with [joule master add]"
        raise UnknownNode([reason]) from None


def _has_directory() -> bool:
    return any(os.environ.get(name) for name in ("JOULE_USER_CONFIG_DIR", "HOME", "APPDATA"))


def _directory() -> Path:
    chosen = os.environ.get("JOULE_USER_CONFIG_DIR")
    if chosen:
        return Path(chosen)
    home = os.environ.get("HOME") or os.environ.get("APPDATA")
    if not home:
        raise UnknownNode(["specify JOULE_USER_CONFIG_DIR environment variable"])
    return Path(home) / ".joule"


def _read(directory: Path) -> dict[str, _Entry]:
    path = directory / "nodes.json"
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnknownNode([f"Cannot read [{path}]: {error.strerror}"]) from error
    except (ValueError, RecursionError):
        raise UnknownNode([f"Cannot parse [{path}], fix syntax or remove it"]) from None
    entries: dict[str, _Entry] = {}
    for one in listed if isinstance(listed, list) else [None]:
        if not isinstance(one, dict) or not all(isinstance(one.get(k), str) for k in ("name", "url", "key")):
            raise UnknownNode([f"Cannot parse [{path}]: each node needs name, url and key as text"])
        entries[one["name"]] = _Entry(one["name"], one["url"], one["key"])
    return entries


def _read_default(directory: Path) -> str:
    path = directory / "default_node.txt"
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise UnknownNode([f"Cannot read [{path}]: {error}"]) from error


def _write(directory: Path, entries: Mapping[str, _Entry]) -> None:
    listed = [{"name": entry.name, "url": entry.url, "key": entry.key} for entry in entries.values()]
    _replace(directory / "nodes.json", json.dumps(listed, indent=2))


def _replace(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    try:
        replace_private(path, text)
    except OSError as error:
        raise UnknownNode([f"Cannot write [{path}]: {error.strerror}"]) from error
