"""Fuzz for long: `make fuzz`, or run.py [--seconds N] [TARGET ...].

By atheris, guided by what code runs, where it is installed (`pip install
'.[fuzz]'`); else by hypothesis with many more examples than in a test run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES_A_SECOND = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="TARGET")
    said = parser.parse_args()
    if said.child:
        return fuzz(said.child, said.seconds)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: hypothesis does it, with more examples")
        return by_hypothesis(said.seconds, said.names)
    sys.path.insert(0, str(HERE))
    from targets import TARGETS

    failed = []
    for name in said.names or TARGETS:
        print(f"\n{name}: {said.seconds} s", flush=True)
        words = ["--child", name, "--seconds", str(said.seconds)]
        if subprocess.run([sys.executable, __file__, *words]).returncode:
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nnothing was found")
    return bool(failed)


def by_hypothesis(seconds: int, names: list[str]) -> int:
    chosen = ["-k", " or ".join(f"[{n}]" for n in names)] if names else []
    examples = {"FUZZ_EXAMPLES": str(seconds * EXAMPLES_A_SECOND)}
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", str(HERE), *chosen]
    return subprocess.run(command, env={**os.environ, **examples}).returncode


def fuzz(name: str, seconds: int) -> int:
    """Fuzz one target; atheris ends the process, and prints what was found."""
    import atheris

    with atheris.instrument_imports(include=["metadeploy", "zipfile", "ruamel.yaml"]):
        sys.path.insert(0, str(HERE))
        from targets import TARGETS

    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, seed in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(seed)
        rows = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
        words.write_text("".join(f'"{row}"\n' for row in rows))
        flags = [f"-max_total_time={seconds}", "-timeout=60"]
        if rows:  # an empty dictionary is an error to it
            flags.append(f"-dict={words}")
        flags += ["-max_len=4096", "-rss_limit_mb=2000", f"-artifact_prefix={HERE}/"]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], target.check)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
