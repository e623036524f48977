"""The machine txbridge runs on, read as a source of samples.

It needs no account and no device, so it is the quickest way to see data flow, and it is a plain
example of a source: `HostSource` reads the processor, the memory, the disks, the network and the
temperatures through psutil, once per interval.  Install it with ``pip install 'txbridge[host]'``.

Capabilities: numbers only, nanosecond instants, interval breaks where a reading is missing, and no
history: what happens while nobody reads is not known to anybody.  There is nothing to be written
to a machine, so there is no sink, no client and no wire format here.
"""

from __future__ import annotations

from txbridge.host.adapter import CAPABILITIES, HostSource

__all__ = ["CAPABILITIES", "HostSource"]
