"""What ``import txbridge`` gives."""

from __future__ import annotations

import subprocess
import sys

import txbridge


def test_each_name_at_the_front_door_leads_somewhere():
    missing = [name for name in txbridge.__all__ if not hasattr(txbridge, name)]
    assert missing == []


def test_the_version_is_a_text_and_as_the_old_libraries_had_it_a_tuple():
    assert ".".join(map(str, txbridge.version)) == txbridge.__version__


def test_importing_the_package_is_enough_to_encode_and_starts_no_reactor():
    code = (
        "import sys, txbridge\n"
        "environment = txbridge.Environment(title='Attic')\n"
        "for format in ('json', 'xml', 'csv'): environment.encode(format)\n"
        "print('twisted.internet.reactor' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
