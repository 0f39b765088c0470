import json

import pytest

from metadeploy.errors import ConfigError
from metadeploy.sourcetree import (
    ignored,
    is_ours,
    package_directories,
    source_api_version,
)


def test_package_directories():
    text = json.dumps(
        {"packageDirectories": [{"path": "force-app"}, {"path": "./a/b/", "x": 1}]}
    )
    assert package_directories(text) == ("force-app/", "a/b/")
    assert package_directories("{}") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 99999,
        '{"packageDirectories": 1}',
        '{"packageDirectories": [1]}',
        '{"packageDirectories": [{"path": "../x"}]}',
        '{"packageDirectories": [{"path": "/x"}]}',
        '{"packageDirectories": [{"path": "."}]}',
    ],
)
def test_a_project_that_is_none(text):
    with pytest.raises(ConfigError, match=r"^sfdx-project\.json: "):
        package_directories(text)


def test_the_api_version():
    assert source_api_version("{}") is None
    assert source_api_version('{"sourceApiVersion": "62.0"}') == "62.0"
    with pytest.raises(
        ConfigError, match=r"sourceApiVersion 'v62' is not like '66\.0'"
    ):
        source_api_version('{"sourceApiVersion": "v62"}')


def test_which_types_are_ours():
    main = "force-app/main/default"
    assert is_ours(f"{main}/connectedApps/Portal.connectedApp-meta.xml")
    assert is_ours(f"{main}/profiles/Admin.profile-meta.xml.j2")
    assert is_ours(f"{main}/settings/ConnectedApp.settings-meta.xml")
    assert not is_ours(f"{main}/settings/Account.settings-meta.xml")
    assert not is_ours(f"{main}/classes/A.cls")
    assert not is_ours(f"{main}/README.md")


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        ("*.profile-meta.xml", "a/profiles/X.profile-meta.xml", True),
        ("profiles/", "a/profiles/X.profile-meta.xml", True),
        ("profiles/", "profiles", False),
        ("/profiles", "a/profiles/X", False),
        ("/a/profiles", "a/profiles/X", True),
        ("a/**/X", "a/b/c/X", True),
        ("a/**/X", "a/X", True),
        ("**/X", "a/b/X", True),
        ("a/**", "a/b/X", True),
        ("a/*", "a/b", True),
        ("# a\n\nb", "a", False),
        ("*.xml\n!b.xml", "a/b.xml", False),
        ("a/\n!a/b", "a/b", True),
        ("[xy].a", "x.a", True),
        ("?.a", "xx.a", False),
        ("a.b", "aXb", False),
    ],
)
def test_what_forceignore_leaves_out(patterns, path, out):
    assert (path in ignored(patterns)) is out
