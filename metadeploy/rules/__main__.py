"""python -m metadeploy.rules: the page of all rules, on stdout."""

import sys

from metadeploy.rules import page

sys.stdout.write(page.text())
