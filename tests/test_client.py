"""The address of txPachube."""

from __future__ import annotations

import txbridge.client
import txbridge.cosm


def test_the_clients_are_where_txpachube_had_them():
    for name in txbridge.client.__all__:
        assert getattr(txbridge.client, name) is getattr(txbridge.cosm, name)
    assert "Client" in txbridge.client.__all__
