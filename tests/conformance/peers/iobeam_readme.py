"""The full example of the iobeam client's README: ``iobeam_readme.py BASE PROJECT TOKEN FOLDER``.

Below the line it is the README's own text, with its dots filled in, and `setBackend`.
"""

# ruff: noqa: E402, I001

from __future__ import annotations

import os
import sys

base, project, token, folder = sys.argv[1:]
os.chdir(folder)  # where saveToDisk saves


def getTemperature():
    return 21.5


def getHumidity():
    return 40


# ----------------------------------------------------------------------------------------------------------
from iobeam import iobeam
import time

# Constants initialization
PROJECT_ID = int(project)  # int
PROJECT_TOKEN = token  # String

# Init iobeam
builder = iobeam.ClientBuilder(PROJECT_ID, PROJECT_TOKEN).setBackend(base).saveToDisk().registerDevice()
iobeamClient = builder.build()  # noqa: N816
conditions = iobeamClient.createDataStore(["temperature", "humidity"])

# Data gathering
now = int(time.time() * 1000)  # current time
ts = iobeam.Timestamp(now)

temp = getTemperature()
humidity = getHumidity()
conditions.add(ts, {"temperature": temp, "humidity": humidity})

# Data transmission
iobeamClient.send()
# ----------------------------------------------------------------------------------------------------------

sys.stdout.write(f'\n{{"device": "{iobeamClient.getDeviceId()}", "now": {now}}}')
