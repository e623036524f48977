"""The API of Joule at a real node."""

from __future__ import annotations

from tests.conformance.conftest import JoulePeer
from txbridge.joule import Node


async def test_a_node_says_who_it_is_and_how_full_its_disk_is(node: Node, joule_peer: JoulePeer) -> None:
    info = await node.info()
    assert (info.name, info.version) == (joule_peer.name, "1.0.1")
    assert info.uuid is not None
    assert info.path.endswith("/pg")
    assert min(info.size_db, info.size_free, info.size_other, info.size_reserved) > 0
