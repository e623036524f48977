"""A small file of a client's own, which only its user may read: what it knows from one run to the next.

It is replaced and never changed, so a reader sees the old one or the new one.  This blocks for as long as
the disk takes.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = ["replace_private"]


def replace_private(path: Path, text: str) -> None:
    """Write all of a file, or nothing; its directory is made, for the user alone, if it is not there.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mode 0600 from the first byte on
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
