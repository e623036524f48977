"""What the adapters of several platforms share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.support.deferreds import result_of
from txbridge.errors import (
    AuthError,
    ConfigError,
    RemoteProtocolError,
    RequestRejected,
    ServerFailed,
    TooLarge,
)
from txbridge.model.samples import Cursor, SampleBlock
from txbridge.relay.ends import last_of_each, read_instants, search_refused, unexplained


def test_a_cursor_of_instants_is_read_and_another_refused():
    assert read_instants(None, "a feed") == {}
    assert read_instants(Cursor({"a": 5}), "a feed") == {"a": 5}
    for value in (5, ["a"], {"a": "5"}, None):
        with pytest.raises(ConfigError, match="the cursor is not one of a feed"):
            read_instants(Cursor(value), "a feed")


def test_of_rows_at_one_instant_the_last_stays_and_breaks_move_to_it():
    block = SampleBlock.scalar("s", [1000, 1001, 1999, 2000, 3000], np.arange(5), (1, 4))
    kept = last_of_each(block, 1000)
    assert (kept.at.tolist(), kept.values.tolist(), kept.breaks) == ([1999, 2000, 3000], [2, 3, 4], (0, 2))
    assert last_of_each(kept, 1000) is kept
    assert len(last_of_each(block.slice(0, 0), 1000)) == 0


def test_a_refusal_without_a_reason_says_nothing_about_the_data():
    found = unexplained(RequestRejected("write", 403))
    assert isinstance(found, RemoteProtocolError)
    assert str(found) == "write: it answered 403 without a reason"


@pytest.mark.parametrize(
    "error",
    [
        RequestRejected("write", 400, "no"),
        RequestRejected("write", 400, detail="no"),
        RequestRejected("write", 422),
        TooLarge("write", 413),
        AuthError("write", 401),
        ServerFailed("write", 503),
    ],
)
def test_a_refusal_that_means_something_is_left_alone(error):
    assert unexplained(error, plain=(422,)) is None


@given(st.lists(st.booleans(), max_size=20), st.booleans())
def test_those_that_are_refused_are_found_and_each_other_is_written(bad, was_tried):
    written = []

    async def refusal(items):
        if any(bad[item] for item in items):
            return "bad"
        written.extend(items)
        return None

    reason = "bad" if was_tried and any(bad) else None
    found = result_of(Deferred.fromCoroutine(search_refused(range(len(bad)), refusal, reason)))
    assert found == [(item, "bad") for item, is_bad in enumerate(bad) if is_bad]
    assert sorted(written) == [item for item, is_bad in enumerate(bad) if not is_bad]
