"""completion: what a shell needs to complete commands, options and names.

A name from a file may be anything, `$(…)` too: each shell gets it so that it stays one
word that nothing runs, and what cannot be written so is left out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from metadeploy.cli import COMPLETE
from metadeploy.reports.text import shown

Item = CompletionItem[str]

# Words of the command line so far, its last one included, go to us as one text.
_BASH = """\
_metadeploy_completion() {
    local IFS=$'\\n' line type value
    while IFS= read -r line; do
        type="${line%%,*}" value="${line#*,}"
        case "$type" in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            nospace) compopt -o nospace 2>/dev/null; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_BREAKS="$COMP_WORDBREAKS" COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" \\
        VARIABLE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _metadeploy_completion metadeploy 2>/dev/null ||
    complete -F _metadeploy_completion metadeploy
"""
_ZSH = """\
#compdef metadeploy
_metadeploy_completion() {
    local -a response plain nospace described
    local type key descr
    response=("${(@f)$(COMP_WORDS="${words[1,CURRENT]}" \\
        VARIABLE=zsh_complete "${(Q)words[1]}" 2>/dev/null)}")
    for type key descr in "${response[@]}"; do
        case "$type" in
            plain)
                [[ "$descr" == _ ]] && plain+=("$key") || described+=("$key:$descr") ;;
            nospace) nospace+=("$key") ;;
            dir) _path_files -/ ;;
            file) compset -P 1 '--*='; _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#nospace )) && compadd -U -S '' -V unsorted -a nospace
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _metadeploy_completion "$@"
else
    compdef _metadeploy_completion metadeploy
fi
"""
_FISH = """\
function _metadeploy_completion
    set -l program (commandline -po)[1]
    set -l words (commandline -cp | string collect)
    for line in (COMP_WORDS=$words VARIABLE=fish_complete $program 2>/dev/null)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain nospace
                printf '%s\\n' $parts[2]
        end
    end
end
complete --no-files --keep-order --command metadeploy \\
    --arguments "(_metadeploy_completion)"
"""
# What means nothing to bash; everything else gets a backslash.
_PLAIN = re.compile(r"[\w@%+=:,./-]", re.ASCII)
_QUOTED = {"'": "'", '"': '"$`\\!'}


class _Line(ShellComplete):
    """Completion of the last word of a line that is passed as it was typed."""

    typed: str = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the last one, and that."""
        line = os.environ.get("COMP_WORDS", "")
        start = _last_word(line)
        self.typed = line[start:]
        words = split_arg_string(self.typed)
        return split_arg_string(line[:start])[1:], words[0] if words else ""

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        """Return whole words, those of `--option=value` too, that a shell may have."""
        before, sign, _ = incomplete.partition("=")
        option = f"{before}=" if sign and before.startswith("--") else ""
        found = []
        for item in super().get_completions(args, incomplete):
            value = str(item.value)
            if item.type == "plain":
                value = option + value
            if value == shown(value) and not re.search(r"[\n\t]", value):
                kind = "nospace" if value.endswith(_OPEN) else item.type
                found.append(CompletionItem(value, kind, item.help))
        return found

    def source(self) -> str:
        """Return the script that a shell runs."""
        return self.source_template.replace("VARIABLE", COMPLETE)


# After these goes more of the same word.
_OPEN = ("=", "..", "tag:")


class Bash(_Line, BashComplete):
    """bash puts what it gets into the line as it is: so it gets it quoted."""

    source_template: ClassVar[str] = _BASH

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        found = super().get_completions(args, incomplete)
        quote = self.typed[:1]
        if quote in _QUOTED:  # bash has opened it, and closes it
            return [i for i in found if not set(i.value) & set(_QUOTED[quote])]
        # What is before a ":" or "=" are words of their own to bash.
        breaks = [c for c in os.environ.get("COMP_BREAKS", "") if c in ":="]
        cut = max((incomplete.rfind(c) + 1 for c in breaks), default=0)
        return [
            CompletionItem(_escaped(item.value[cut:]), item.type)
            if item.type in ("plain", "nospace")
            else item
            for item in found
        ]


class Zsh(_Line, ZshComplete):
    """zsh quotes what it gets."""

    source_template: ClassVar[str] = _ZSH


class Fish(_Line, FishComplete):
    """fish quotes what it gets."""

    source_template: ClassVar[str] = _FISH


SHELLS: dict[str, type[_Line]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def _escaped(text: str) -> str:
    return "".join(c if _PLAIN.match(c) or ord(c) > 127 else f"\\{c}" for c in text)


def _last_word(line: str) -> int:
    """Return where the last word of a line begins, which may be open or empty."""
    start, quote, at = 0, "", 0
    while at < len(line):
        char = line[at]
        if char == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            start = at + 1
        at += 1
    return start


def answer(instruction: str) -> str:
    """Return what a shell asks for by its variable, such as "bash_complete"."""
    from metadeploy.cli import metadeploy

    shell = SHELLS.get(instruction.partition("_")[0])
    if shell is None:
        return ""
    sys.meta_path.insert(0, _Hollow())
    return shell(metadeploy, {}, "metadeploy", COMPLETE).complete()


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)
def completion(shell: str, as_json: bool) -> int:
    """Print a script that completes at your shell.

    \b
    bash, in ~/.bashrc:   eval "$(metadeploy completion bash)"
    zsh, in ~/.zshrc:     eval "$(metadeploy completion zsh)"
    fish:  metadeploy completion fish > ~/.config/fish/completions/metadeploy.fish
    """
    command = click.get_current_context().find_root().command
    made = SHELLS[shell](command, {}, "metadeploy", COMPLETE)
    if as_json:
        # It loads the rules, which no completion needs.
        from metadeploy.cli.output import document, write_json

        body = {"shell": shell, "script": made.source()}
        write_json(document("completion", body))
    else:
        click.echo(made.source(), nl=False)
    return 0


class _Hollow(MetaPathFinder, Loader):
    """Finds modules that commands use when they run as modules without anything in.

    What is asked here is what options a command has: for that alone, to load what
    talks to orgs would take ten times as long as all the rest.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = name.startswith("metadeploy.") and not name.startswith("metadeploy.cli")
        return (
            ModuleSpec(name, self, is_package=True)
            if ours and name not in _NEEDED
            else None
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Nothing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to be done."""


_NEEDED = {
    f"metadeploy.{name}"
    for name in (
        "errors",
        "gitcommand",
        "hooking",
        "model",
        "orgfile",
        "reports",
        "reports.text",
        "repository",
    )
}


class _Nothing(ModuleType):
    """A module in which every name is a class of its own."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
