"""The guard fails a test that leaves something behind, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

CONFTEST = """
from tests.support.guard import flushed_errors, guard, pytest_collection_modifyitems
"""


@pytest.fixture
def outcome(pytester, monkeypatch):
    """Run one test file under the guard; returns its result."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)

    def run(source):
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")

    return run


def test_an_unhandled_deferred_error_fails_the_test(outcome):
    result = outcome(
        """
        from twisted.internet.defer import fail

        def test_loses_an_error():
            fail(ValueError("lost"))

        def test_is_innocent():
            pass
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_loses_an_error*", "*ValueError*lost*"])


def test_an_error_that_a_fixture_holds_fails_its_own_test(outcome):
    result = outcome(
        """
        import pytest
        from twisted.internet.defer import fail

        @pytest.fixture
        def holder():
            return [fail(ValueError("held"))]

        def test_loses_an_error(holder):
            pass
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ValueError*held*"])


def test_an_error_in_a_reference_cycle_fails_the_test(outcome):
    result = outcome(
        """
        from twisted.internet.defer import Deferred

        def test_loses_an_error():
            d = Deferred()
            d.addCallback(lambda _: d)
            d.errback(ValueError("cycle"))
        """
    )
    result.assert_outcomes(passed=1, errors=1)


def test_a_logged_failure_fails_the_test(outcome):
    result = outcome(
        """
        from twisted.logger import Logger

        def test_logs_a_failure():
            try:
                raise ValueError("logged")
            except ValueError:
                Logger().failure("it broke")
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*logged error: it broke*"])


def test_a_claimed_error_passes(outcome):
    result = outcome(
        """
        from twisted.internet.defer import fail

        def test_claims_its_error(flushed_errors):
            fail(ValueError("expected"))
            assert [one.value.args for one in flushed_errors(ValueError)] == [("expected",)]
        """
    )
    result.assert_outcomes(passed=1)


def test_claiming_one_type_leaves_the_others(outcome):
    result = outcome(
        """
        from twisted.internet.defer import fail

        def test_claims_the_wrong_error(flushed_errors):
            fail(KeyError("unexpected"))
            assert flushed_errors(ValueError) == []
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*KeyError*unexpected*"])


def test_a_timer_left_running_fails_its_test_and_not_the_next(outcome):
    result = outcome(
        """
        def test_leaves_a_timer():
            from twisted.internet import reactor
            reactor.callLater(3600, print)

        def test_is_innocent():
            pass
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_leaves_a_timer*", "*left running: <DelayedCall*"]
    )


def test_a_socket_left_open_fails_its_test_and_not_the_next(outcome):
    result = outcome(
        """
        from twisted.internet.protocol import Factory, Protocol

        def test_leaves_a_port():
            from twisted.internet import reactor
            reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")

        def test_is_innocent():
            pass
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves_a_port*", "*left open: <*Port*"])


def test_connections_that_close_in_the_next_turns_pass(outcome):
    result = outcome(
        """
        import pytest_twisted
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
        from twisted.internet.protocol import Factory, Protocol

        @pytest_twisted.async_yield_fixture
        async def port():
            from twisted.internet import reactor
            port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
            yield port
            await port.stopListening()

        async def test_connects_and_closes(port):
            from twisted.internet import reactor
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
            protocol = await connectProtocol(endpoint, Protocol())
            protocol.transport.loseConnection()
        """
    )
    result.assert_outcomes(passed=1)


def test_an_unmarked_async_test_is_awaited(outcome):
    result = outcome(
        """
        from hypothesis import given, strategies
        from twisted.internet.defer import succeed

        async def test_fails():
            assert await succeed(1) == 2

        @given(strategies.integers())
        async def test_fails_for_some_integer(number):
            assert await succeed(number) < 5
        """
    )
    result.assert_outcomes(failed=2)
