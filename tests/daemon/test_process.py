"""What this process takes."""

from __future__ import annotations

from txbridge.daemon.process import ProcessReport, process_families, read_process
from txbridge.net.exposition import render_metrics


def test_this_process_takes_memory_time_and_files():
    process = read_process()
    assert process.resident_bytes > 1 << 20
    assert process.cpu_seconds > 0
    assert process.open_files >= 3


def test_it_is_told_by_the_names_that_every_client_has():
    text = render_metrics(process_families(ProcessReport(4096, 1.5, 12), 1e9))
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "process_resident_memory_bytes 4096",
        "process_cpu_seconds_total 1.5",
        "process_open_fds 12",
        "process_start_time_seconds 1000000000",
    ]
