"""Upload the readings of a CurrentCost energy monitor.

Without a device a simulated meter speaks the same lines.  A real one needs ``pip install pyserial``::

    python examples/current_cost.py 7301
    python examples/current_cost.py 7301 /dev/ttyUSB0

A reading that cannot be sent is lost here: ``relay_host.py`` shows the way that keeps it.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import urljoin

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from twisted.protocols.basic import LineOnlyReceiver

from txbridge import BridgeError, Environment
from txbridge.client import Client

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
API_KEY = os.environ.get("TXBRIDGE_API_KEY")

READING = re.compile(rb"<tmpr> *([-0-9.]+)</tmpr><sensor>0</sensor>.*<ch1><watts>0*(\d+)</watts></ch1>")


class CurrentCost(LineOnlyReceiver):
    """Reads the meter's lines, one XML message each; sensor 0 is the whole house."""

    delimiter = b"\n"

    def __init__(self, received: Callable[[str, str], object]) -> None:
        self.received = received

    def lineReceived(self, line: bytes) -> None:
        reading = READING.search(line)
        if reading is not None:
            self.received(reading[1].decode(), reading[2].decode())


class SimulatedMeter:
    """Says what a meter would: a kettle that is on for a while, every few seconds."""

    def __init__(self, protocol: CurrentCost) -> None:
        self.protocol = protocol
        self.seconds = count()

    def tick(self) -> None:
        watts = 2150 if next(self.seconds) % 10 < 3 else 150
        self.protocol.lineReceived(
            b"<msg><src>CC128-v1.29</src><dsb>00089</dsb><time>13:02:39</time><tmpr>18.7</tmpr>"
            b"<sensor>0</sensor><id>01234</id><type>1</type><ch1><watts>%05d</watts></ch1></msg>" % watts
        )


class Monitor:
    """Sends each reading to a feed."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def received(self, temperature: str, watts: str) -> None:
        environment = Environment(version="1.0.0")
        environment.set_current_value("temperature", temperature)
        environment.set_current_value("energy", watts)
        sent = self.client.update_feed(data=environment.encode())
        sent.addCallback(lambda _: print(f"sent {temperature} °C, {watts} W", flush=True))
        sent.addErrback(self.failed)

    def failed(self, failure: Any) -> None:
        failure.trap(BridgeError)
        print(f"not sent: {failure.value}", file=sys.stderr, flush=True)


async def main(reactor: Any, feed_id: int, device: str | None = None) -> None:
    client = Client(API_KEY, feed_id, url=URL, reactor=reactor)
    protocol = CurrentCost(Monitor(client).received)
    if device is None:
        meter = LoopingCall(SimulatedMeter(protocol).tick)
        meter.clock = reactor
        await meter.start(1.0)
    else:
        from twisted.internet.serialport import SerialPort

        SerialPort(protocol, device, reactor, baudrate=57600)
        await Deferred()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    parser.add_argument("device", metavar="DEVICE", nargs="?")
    arguments = parser.parse_args()
    react(main, [arguments.feed_id, arguments.device])
