"""Install metadeploy for a measurement as a wheel would be: copied and compiled.

An editable install loads its import finder whenever Python starts, so `python -c
pass` itself is slower there, and every ratio to it would look better than it is.
"""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SCRIPT = """#!{python}
import re
import sys
from metadeploy.cli import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""


def install(folder: Path) -> tuple[str, str]:
    """Make an environment in `folder`; return the paths of python and metadeploy.

    The dependencies are those of the environment that runs this.
    """
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    depended = sysconfig.get_path("purelib")
    (packages / "dependencies.pth").write_text(f"{depended}\n")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "metadeploy", packages / "metadeploy", ignore=ignored)
    compileall.compile_dir(packages / "metadeploy", quiet=1)
    python, script = folder / "bin" / "python", folder / "bin" / "metadeploy"
    script.write_text(_SCRIPT.format(python=python))
    script.chmod(0o755)
    return str(python), str(script)
