"""Bytes to structures and back: JSON, EEML and CSV.  Pure: no I/O, no clock.

Importing this package makes the formats known to ``Structure.encode`` and ``Structure.decode``.
"""

from __future__ import annotations

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.codecs.fields import DataFormats
from txbridge.model.encoding import CODECS

__all__ = ["cosm_csv", "cosm_json", "eeml"]

CODECS[DataFormats.JSON] = cosm_json
CODECS[DataFormats.XML] = eeml
CODECS[DataFormats.CSV] = cosm_csv
