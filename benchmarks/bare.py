"""Send recorded requests: what a script of a few lines would cost, with no thought.

bare.py URL TOKEN FILE: requests, no rendering, no comparison, SOAP made beforehand.
Ids and the session of the recording are replaced by those of this run.
"""

import json
import re
import sys
from pathlib import Path

import requests

ID = re.compile(r"\b(?:0Af|09S|0H4|0J0)[0-9A-Za-z]{15}\b")
SESSION = re.compile(r"00D[0-9A-Za-z]{12}![\w.]+")


def main(url: str, token: str, path: str) -> None:
    recorded = json.loads(Path(path).read_bytes())
    known: dict[str, str] = {}

    def now(text: str) -> str:
        text = SESSION.sub(token, text)
        return ID.sub(lambda m: known.get(m[0], m[0]), text)

    with requests.Session() as session:
        session.trust_env = False
        for said in recorded:
            answer = session.request(
                said["method"],
                url + now(said["path"]),
                data=now(said["body"]).encode() or None,
                headers={k: now(v) for k, v in said["headers"].items()},
            )
            if answer.status_code >= 400:
                sys.exit(f"{said['method']} {said['path']}: {answer.text[:500]}")
            known.update(zip(said["ids"], ID.findall(answer.text), strict=False))


main(*sys.argv[1:])
