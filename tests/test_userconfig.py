"""The user's own configuration, as far as it is about where sessions go."""

from __future__ import annotations

import pytest

from metadeploy import userconfig
from metadeploy.errors import ConfigError
from metadeploy.reach import SALESFORCE, Reach

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    monkeypatch.setenv(userconfig.VARIABLE, str(path))

    def write(text):
        path.write_text(text)
        path.chmod(0o600)

    return write


def test_nothing_said_is_salesforce_alone(config):
    assert userconfig.reach() == SALESFORCE
    config("master: {env: X}\n")
    assert userconfig.reach() == SALESFORCE


def test_what_the_user_says(config, tmp_path):
    (tmp_path / "ca.pem").write_text(CERTIFICATE)
    config(
        "allowed_hosts: [salesforce.acme.com, 10.0.0.7:8443]\n"
        "ca_bundle: ca.pem\nproxy: http://me:canary-pass@proxy.acme.com:3128\n"
    )
    reach = userconfig.reach()
    assert reach.allowed_hosts == {"salesforce.acme.com", "10.0.0.7:8443"}
    assert reach.ca_bundle == str(tmp_path / "ca.pem")
    assert reach.proxy.reveal() == "http://me:canary-pass@proxy.acme.com:3128"
    assert not reach.loopback and "canary" not in repr(reach)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("allowed_hosts: ['*.acme.com']", "allowed_hosts: '*.acme.com' is no host"),
        ("allowed_hosts: ['https://acme.com']", "is no host"),
        ("allowed_hosts: ['Acme.com']", "is no host"),
        ("allowed_hosts: ['']", "is no host"),
        ("proxy: proxy.acme.com:3128", "not of the form http://host:port"),
        ("proxy: 'socks5://me:canary@p:1'", "not of the form http://host:port"),
        ("ca_bundle: gone.pem", "ca_bundle: gone.pem: No such file or directory"),
        ("ca_bundle: config.yaml", "it holds no certificate in PEM"),
        ("allowed_hosts: acme.com", "Expected `array`"),
        ("verify: false", "unknown field `verify`"),
    ],
)
def test_what_is_wrong_is_told(config, text, said):
    config(text)
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        userconfig.reach()
    assert said in caught.value.message and "canary" not in caught.value.message


def test_a_project_says_nothing_of_it(config, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "config.yaml").write_text("allowed_hosts: [evil.example]")
    assert userconfig.reach() == Reach()
