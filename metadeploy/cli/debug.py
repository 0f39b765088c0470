"""What --debug shows, and what a bug shows: both without secrets."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings

from metadeploy import __version__
from metadeploy.cli.output import error_document, masked, shown, write_json

# They would show whole requests, sessions included.
_SILENT = ("requests", "urllib3", "zeep")


class _Masked(logging.Handler):
    """One line on stderr for each record, whoever logs it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = self.format(record)
        except (TypeError, ValueError):  # a library's own words do not fit
            said = str(record.msg)
        sys.stderr.write(f"debug: {shown(masked(said))}\n")


def quiet() -> None:
    """Have libraries log to nobody: what they warn of may hold anything."""
    logging.raiseExceptions = False
    logging.getLogger().addHandler(logging.NullHandler())


def start() -> None:
    """Show on stderr what is logged from now on, and what Python warns of."""
    handler = _Masked()
    logging.raiseExceptions = False
    warnings.simplefilter("default")
    logging.captureWarnings(True)
    handler.setFormatter(logging.Formatter("%(relativeCreated)d ms: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("metadeploy").setLevel(logging.DEBUG)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.WARNING)
    python = sys.version.partition(" ")[0]
    log = logging.getLogger("metadeploy")
    log.debug("metadeploy %s, Python %s, %s", __version__, python, sys.platform)


def show_bug(error: BaseException, *, as_json: bool) -> None:
    """Show a traceback with the lines of source, and no variable's value."""
    if as_json:
        what = f"{type(error).__name__}: {error}"
        write_json(error_document("metadeploy", masked(what), 1, name="Bug"))
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(shown(masked(text)))
    sys.stderr.write("This is a bug in metadeploy. Whatever was sent, was sent.\n")
