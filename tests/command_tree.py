"""Every command with its parameters, wherever and however it is loaded."""

from __future__ import annotations

import click


def described(command, path=()):
    yield [*path], [[p.name, p.opts, p.nargs] for p in command.params]
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            yield from described(found, (*path, name))
