"""python -m metadeploy.emulator: the page of what emulated orgs do, on stdout."""

import sys

from metadeploy.emulator import handbook

sys.stdout.write(handbook.text())
