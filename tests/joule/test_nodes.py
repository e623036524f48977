"""The files of Joule's own client."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.support.certificates import Authority
from txbridge.errors import ConfigError, ConnectError
from txbridge.joule.client import Node
from txbridge.joule.errors import ApiError, UnknownNode
from txbridge.joule.nodes import (
    create_tcp_node,
    delete_node,
    get_node,
    get_nodes,
    save_node,
    set_default_node,
)
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork
from txbridge.net.tls import client_tls

KEY = "k7Q-the-secret"
VERSION = {"version": "1.0.1", "name": "basement", "uuid": "u"}
STORAGE = {"path": "/db", "other": 1, "reserved": 2, "free": 3, "size": 4}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(tmp_path / "user"))
    return tmp_path / "user"


def node(name: str, url: str = "http://localhost:8088") -> Node:
    return create_tcp_node(url, KEY, name, reactor=MemoryNetwork().reactor)


def named(name: str = "") -> Node:
    return get_node(name, reactor=MemoryNetwork().reactor)


def default(home: Path) -> str:
    return (home / "default_node.txt").read_text()


def refusal(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(UnknownNode) as caught:
        call(*arguments)
    assert isinstance(caught.value, ApiError)
    return str(caught.value)


def test_nodes_are_kept_in_the_files_of_joules_own_client(home: Path) -> None:
    save_node(node("a"))
    save_node(node("b", "https://example.com/joule"))
    assert json.loads((home / "nodes.json").read_text()) == [
        {"name": "a", "url": "http://localhost:8088", "key": KEY},
        {"name": "b", "url": "https://example.com/joule", "key": KEY},
    ]
    assert (home / "nodes.json").read_text().startswith('[\n  {\n    "name"')
    assert default(home) == "a\n"
    assert [one.name for one in get_nodes(reactor=MemoryNetwork().reactor)] == ["a", "b"]
    found = named("b")
    assert (found.name, found.url, found.api_key) == ("b", "https://example.com/joule", KEY)
    assert named().name == "a"


def test_nobody_else_may_read_them(home: Path) -> None:
    save_node(node("a"))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for file in home.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {file.name for file in home.iterdir()} == {"nodes.json", "default_node.txt"}


def test_saving_a_node_again_changes_it_in_its_place(home: Path) -> None:
    save_node(node("a"))
    save_node(node("b"))
    save_node(node("a", "http://elsewhere:1"))
    assert [(one.name, one.url) for one in get_nodes(reactor=MemoryNetwork().reactor)] == [
        ("a", "http://elsewhere:1"),
        ("b", "http://localhost:8088"),
    ]


def test_the_default_can_be_chosen_and_is_chosen_anew_when_it_goes(home: Path) -> None:
    for name in ("a", "b", "c"):
        save_node(node(name))
    set_default_node("b")
    assert named().name == "b"
    set_default_node(node("c"))
    delete_node("c")
    assert default(home) == "a\n"
    delete_node(node("b"))
    delete_node("a")
    assert default(home) == ""
    assert refusal(named) == "No nodes available, use [joule admin authorize] or [joule node add]"
    save_node(node("d"))
    assert default(home) == "d\n"


@pytest.mark.parametrize("text", [None, "", "gone\n"])
def test_without_a_default_that_is_there_the_first_node_is_meant(home: Path, text: str | None) -> None:
    save_node(node("a"))
    save_node(node("b"))
    (home / "default_node.txt").unlink()
    if text is not None:
        (home / "default_node.txt").write_text(text)
    assert named().name == "a"


def test_looking_for_a_node_writes_nothing(home: Path) -> None:
    assert refusal(named) == "No nodes available, use [joule admin authorize] or [joule node add]"
    assert get_nodes() == []
    assert not home.exists()


def test_what_is_not_there_is_said_in_joules_words(home: Path) -> None:
    assert refusal(named, "x") == "Node ['x'] is not available, add it with [joule master add]"
    assert refusal(delete_node, "x") == "Node [x] does not exist"
    assert refusal(set_default_node, "") == "Specify a node name, may not be empty"
    assert refusal(set_default_node, "x") == "Invalid node name, view nodes with [joule node list]"


@pytest.mark.parametrize("text", ["{", "{}", "[5]", '[{"name": "a", "url": "http://x"}]', "[" * 100_000])
def test_a_file_that_cannot_be_read_is_named_and_not_its_keys(home: Path, text: str) -> None:
    home.mkdir()
    (home / "nodes.json").write_text(text)
    assert refusal(named).startswith(f"Cannot parse [{home / 'nodes.json'}]")


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(tmp_path / "file"))
    assert str(tmp_path / "file") in refusal(named)
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "nodes.json").mkdir()
    assert "Cannot read" in refusal(named)
    for name in ("JOULE_USER_CONFIG_DIR", "HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert refusal(named) == "specify JOULE_USER_CONFIG_DIR environment variable"
    assert create_tcp_node("https://x", KEY, reactor=MemoryNetwork().reactor).url == "https://x"


def test_a_home_has_a_folder_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOULE_USER_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    save_node(node("a"))
    assert (tmp_path / ".joule" / "nodes.json").is_file()


def test_the_roots_of_the_folder_are_trusted_by_nodes_over_tls(home: Path) -> None:
    home.mkdir()
    (home / "ca.crt").write_bytes(b"no certificate")
    with pytest.raises(ConfigError, match=r"ca\.crt"):
        node("a", "https://localhost:8088")
    assert node("a", "http://localhost:8088").name == "a"
    root = Authority()
    (home / "ca.crt").write_bytes(root.pem)
    assert node("a", "https://localhost:8088").name == "a"
    mine = create_tcp_node("https://x", KEY, trust=client_tls(root.pem), reactor=MemoryNetwork().reactor)
    assert mine.url == "https://x"


def known(home: Path, trusted: Authority, url: str) -> Node:
    """A node that the files name, with the roots they hold."""
    home.mkdir()
    (home / "ca.crt").write_bytes(trusted.pem)
    save_node(node("basement", url))
    return get_node()


async def asked_over_tls(home: Path, keys: list[str], *names: str, trusted: Authority | None = None) -> str:
    """Ask a node that is known by a file, over TLS on loopback, who it is.

    Args:
        home: Where the files are.
        keys: Gets the keys that the node was shown.
        names: What its certificate is for.
        trusted: What is in ``ca.crt``, if not the root that signed.
    """
    from twisted.internet import reactor

    def respond(request: Request) -> Response:
        keys.append(request.headers["x-api-key"])
        body = {"/version.json": VERSION, "/dbinfo": STORAGE}[request.path]
        return Response(200, (), json.dumps(body).encode())

    root = Authority()
    site = HttpServerFactory(respond, clock=reactor)
    factory = TLSMemoryBIOFactory(root.issue(*names).server(), False, site)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    found = known(home, root if trusted is None else trusted, f"https://127.0.0.1:{port.getHost().port}")
    try:
        return (await found.info()).name
    finally:
        await found.close()
        await port.stopListening()
        await site.drain()


async def test_a_node_with_a_certificate_of_those_roots_is_asked(home: Path) -> None:
    assert await asked_over_tls(home, [], "127.0.0.1") == "basement"


async def test_no_other_node_gets_to_see_the_key(home: Path) -> None:
    keys: list[str] = []
    with pytest.raises(ConnectError, match="not trusted"):
        await asked_over_tls(home, keys, "127.0.0.1", trusted=Authority("Another Root"))
    assert keys == []


async def test_a_certificate_for_another_host_is_refused(home: Path) -> None:
    keys: list[str] = []
    with pytest.raises(ConnectError):
        await asked_over_tls(home, keys, "elsewhere.test")
    assert keys == []


def test_no_key_shows(home: Path) -> None:
    save_node(node("a"))
    assert KEY not in repr(named())
