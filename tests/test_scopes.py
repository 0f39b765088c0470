import pytest

from metadeploy import schema
from metadeploy.model import Component, Ref
from metadeploy.scopes import by_metadata_name


def renamed(type_, body):
    return by_metadata_name(Component(Ref(type_, "A"), body.encode())).body.decode()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("chatter_api", "Chatter"),
        (" api ", " Api "),
        ("Api", "Api"),
        ("nonsense", "nonsense"),
        ("", ""),
        ("id", "Basic"),
    ],
)
def test_either_name_will_do(given, wanted):
    app = renamed("ConnectedApp", f"<a>\n<scopes>{given}</scopes></a>")
    assert app == f"<a>\n<scopes>{wanted}</scopes></a>"


def test_a_comma_list():
    tag = "commaSeparatedOauthScopes"
    body = f"<{tag}>api, Web,\n refresh_token</{tag}>"
    found = renamed("ExtlClntAppOauthSettings", body)
    assert found == f"<{tag}>Api, Web,\n RefreshToken</{tag}>"
    assert renamed("PermissionSet", "<scopes>api</scopes>") == "<scopes>api</scopes>"


def test_every_scope_has_a_way_there():
    for name in schema.scopes():
        body = f"<scopes>{schema.oauth_scope(name)}</scopes>"
        found = renamed("ConnectedApp", body).removeprefix("<scopes>")
        same = schema.oauth_scope(found.removesuffix("</scopes>"))
        assert same == schema.oauth_scope(name)
