"""What the ends of a route say of themselves makes sense."""

from __future__ import annotations

import pytest

from txbridge.model.samples import ValueType
from txbridge.relay.roles import Capabilities, OnFull


def test_an_end_that_says_nothing_takes_every_type_at_full_resolution():
    capabilities = Capabilities()
    assert capabilities.time_resolution_ns == 1
    assert capabilities.value_types == set(ValueType)
    assert (capabilities.max_batch_points, capabilities.max_batch_bytes) == (None, None)


@pytest.mark.parametrize("name", ["time_resolution_ns", "max_batch_points", "max_batch_bytes"])
def test_a_limit_below_one_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Capabilities(**{name: 0})


def test_the_policies_of_a_full_outbox_have_the_names_of_the_configuration():
    assert [policy.value for policy in OnFull] == ["block", "drop_oldest", "drop_newest", "decimate"]
