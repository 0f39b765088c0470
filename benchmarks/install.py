"""Install metadeploy for a measurement as pip would: its files, what it requires.

An editable install loads its import finder whenever Python starts, so `python -c
pass` itself is slower there, and every ratio to it would look better than it is. The
tools of developers in turn make start-up slower: what is there is tried and imported.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
_SCRIPT = """#!{python}
import re
import sys
from metadeploy.__main__ import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""


def install(folder: Path) -> tuple[str, str]:
    """Make an environment in `folder`; return the paths of python and metadeploy.

    The packages that it requires are those of the environment that runs this.
    """
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for path in _required_paths():
        (packages / path.name).symlink_to(path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "metadeploy", packages / "metadeploy", ignore=ignored)
    compileall.compile_dir(packages / "metadeploy", quiet=1)
    python, script = folder / "bin" / "python", folder / "bin" / "metadeploy"
    script.write_text(_SCRIPT.format(python=python))
    script.chmod(0o755)
    return str(python), str(script)


def _required_paths() -> set[Path]:
    """Return the files and folders of all packages that metadeploy needs to run."""
    found: set[Path] = set()
    known = {"metadeploy"}
    waiting = _requirements("metadeploy")
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        waiting |= _requirements(name)
        for file in importlib.metadata.files(name) or ():
            if file.parts[0] not in ("..", "__pycache__"):
                installed = Path(str(file.locate())).parents[len(file.parts) - 1]
                found.add(installed / file.parts[0])
    return found


def _requirements(name: str) -> set[str]:
    required = map(Requirement, importlib.metadata.requires(name) or ())
    return {
        r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})
    }
