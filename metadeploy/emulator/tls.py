"""TLS for the https listener, with certificates made on first start beside the world.

Clients trust it by the CA file (`NODE_EXTRA_CA_CERTS`, `REQUESTS_CA_BUNDLE`).
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path

_VALID_DAYS = 397
_RENEW_DAYS = 14


def server_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context and the path of the CA certificate in PEM.

    Makes `ca.pem` and `tls.pem` (0600) in `directory` when they are missing, about
    to expire or of one another's no more.
    """
    ca_path, server_path = directory / "ca.pem", directory / "tls.pem"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not usable(ca_path, server_path):
        # Loaded only here: cryptography costs more than all of a later start.
        from metadeploy.emulator.certificates import renew

        renew(ca_path, server_path, days=_VALID_DAYS)
    context.load_cert_chain(server_path)
    return context, ca_path


def usable(ca_path: Path, server_path: Path) -> bool:
    """Whether the files are whole, of one another, and will last a while."""
    try:
        ca, server = ca_path.read_bytes(), server_path.read_bytes()
        age = time.time() - server_path.stat().st_mtime
    except OSError:
        return False
    return bool(ca) and ca in server and age < (_VALID_DAYS - _RENEW_DAYS) * 86400
