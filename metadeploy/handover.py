"""Credentials → the text that whoever uses an app takes them in. Pure.

Every text ends with a line break. A key comes from an org, so it is not believed to be
one: what it could do to a shell or a file of lines is refused.
"""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Literal

from msgspec import Struct
from ruamel.yaml import YAML

from metadeploy.errors import ApiFault, ConfigError
from metadeploy.keys import Credentials
from metadeploy.model import Secret

Format = Literal["env", "json", "kubernetes", "command"]

# Documented: alphanumeric; observed: orgs' own keys have "_" and "." too.
_PLAIN = re.compile(r"[A-Za-z0-9_.]{1,256}")
# A Kubernetes object's name: an RFC 1123 subdomain, one label of it here.
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Pair(Struct, frozen=True):
    """Consumer key and secret of an app, fit to be handed over."""

    app: str
    consumer_key: str
    consumer_secret: Secret


def pair(app: str, credentials: Credentials) -> Pair:
    """Return an app's credentials for a hand-over.

    Raises ConfigError where the secret is not known, ApiFault for what is no key.
    """
    secret = credentials.consumer_secret
    if secret is None:
        raise ConfigError(
            f"the secret of {app} is known to the org only",
            hint="Its key is not derived. Copy the secret from Setup.",
        )
    for text in (credentials.consumer_key, secret.reveal()):
        if not _PLAIN.fullmatch(text):
            raise ApiFault("", f"the org gave {app} a key with odd characters; refused")
    return Pair(app, credentials.consumer_key, secret)


def env_text(found: Pair) -> str:
    """Return two lines NAME=value, for an env file or a shell."""
    name = re.sub(r"\W", "_", found.app, flags=re.ASCII).upper()
    if name[0].isdigit():
        name = f"_{name}"
    return (
        f"{name}_CONSUMER_KEY={found.consumer_key}\n"
        f"{name}_CONSUMER_SECRET={found.consumer_secret.reveal()}\n"
    )


def json_text(found: Pair) -> str:
    """Return one line of JSON with consumerKey and consumerSecret."""
    return json.dumps(_plain(found)) + "\n"


def kubernetes_text(found: Pair, name: str = "") -> str:
    """Return the YAML manifest of a Secret. name: by default made of the app's.

    Raises ConfigError for a name that Kubernetes does not take.
    """
    name = name or re.sub(r"[^a-z0-9]+", "-", found.app.lower()).strip("-")
    if not _KUBERNETES_NAME.fullmatch(name):
        raise ConfigError(
            f"Kubernetes takes no Secret called {name!r}",
            hint="Give it a name of a-z, 0-9 and '-', 63 characters at most.",
        )
    data = {
        key: base64.b64encode(text.encode()).decode()
        for key, text in _plain(found).items()
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "metadeploy"},
        },
        "type": "Opaque",
        "data": data,
    }
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 1000
    yaml.dump(manifest, out)
    return out.getvalue()


def _plain(found: Pair) -> dict[str, str]:
    return {
        "consumerKey": found.consumer_key,
        "consumerSecret": found.consumer_secret.reveal(),
    }
