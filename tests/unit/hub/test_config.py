"""The configuration: every problem with its line and its mend, nothing quietly ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import (
    PROJECT_ROOT,
    AppConfig,
    ClientConfig,
    Config,
    ConfigInvalid,
    EgressConfig,
    LimitsConfig,
    MemoryConfig,
    load_config,
)


def problems(path: Path, text: str) -> list[str]:
    """Return what is wrong with a configuration, as `line: message`."""
    file = path / "spokegate.yaml"
    file.write_text(text)
    with pytest.raises(ConfigInvalid) as error:
        load_config(file)
    for problem in error.value.problems:
        assert str(problem).startswith(f"{file}:{problem.line}: ")
    return [f"{problem.line}: {problem.message}" for problem in error.value.problems]


def test_an_unknown_field_is_refused_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    found = problems(tmp_path, "version: 1\nlimits:\n  hop: 3\n  promt_seconds: 5\n")
    assert found == [
        "3: `limits.hop`: unknown field: did you mean `hops`?",
        "4: `limits.promt_seconds`: unknown field: did you mean `prompt_seconds`?",
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "version: 2\napps:\n  - path: no/such\n    trust: much\nclients:\n  - user: ../alice\nlimits: {hops: 0}\n",
    )
    assert {"1", "4", "6", "7"} <= {line.split(":")[0] for line in found}


def test_two_clients_on_one_socket_are_refused(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "version: 1\nclients:\n  - user: alice\n  - user: bob\n")
    assert found == "2: `clients`: two of them have the same `socket`: rename one"


def test_an_app_that_is_not_there_is_refused(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "version: 1\napps:\n  - path: no/such/app\n")
    assert found == "3: `path`: there is no directory no/such/app"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "version: 1\nversion: 1\n",
        "a: &x 1\nb: *x\n",
        "version: .nan\n",
        "{",
        "clients: []\n",
        "clients: [{user: alice, socket: ../evil.sock}]\n",
        "clients: [{user: alice, socket: ..}]\n",
        "clients: [{user: alice, socket: hub.lock}]\n",
        "clients: [{user: alice, socket: opa.sock}]\n",
        "clients: [{user: alice, socket: opa}]\n",
        "clients: [{user: alice, socket: spokes}]\n",
        "limits: {call_seconds: 1e999}\n",
        "limits: {spokes: -1}\n",
        "name: Bad Name\n",
        "database: mysql://db/x\n",
        "database: postgresql://me:secret@db/x\n",
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_a_file_that_is_not_there_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_paths_are_relative_to_the_file_and_the_rest_has_defaults(tmp_path: Path) -> None:
    (tmp_path / "apps" / "one").mkdir(parents=True)
    file = tmp_path / "spokegate.yaml"
    file.write_text("version: 1\nstate_dir: state\nruntime_dir: run\npolicies: [rules]\napps: [{path: apps/one}]\n")
    config = load_config(file)
    assert (config.state_dir, config.runtime_dir) == (tmp_path / "state", tmp_path / "run")
    assert (config.policies, config.apps[0].path) == ((tmp_path / "rules",), tmp_path / "apps" / "one")
    assert (config.apps[0].trust, config.limits.hops) == ("unreviewed", 8)
    assert Config().policies == (PROJECT_ROOT / "policies",)


@pytest.mark.parametrize(
    "text", ["10.0.0.7", "db.example.org:443", "10.0.0.7:0", "fd00::7:443", "[10.0.0.7]:443", "*:443"]
)
def test_a_private_address_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    [found] = problems(tmp_path, f'egress:\n  private_addresses:\n    - "10.0.0.7:443"\n    - "{text}"\n')
    assert "`egress.private_addresses`" in found
    assert "ADDRESS:PORT" in found


def test_private_addresses_and_certificates_of_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "spokegate.yaml"
    file.write_text('egress:\n  private_addresses: ["10.0.0.7:443", "[fd00::7]:443"]\n  ca_file: ca.pem\n')
    config = load_config(file)
    assert config.egress.private_addresses == ("10.0.0.7:443", "[fd00::7]:443")
    assert config.egress.ca_file == tmp_path / "ca.pem"
    assert Config().egress.private_addresses == ()


def test_every_field_has_a_sentence() -> None:
    models = (Config, AppConfig, ClientConfig, EgressConfig, LimitsConfig, MemoryConfig)
    assert [name for model in models for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base_url: ftp://x/v1", "not a base URL"),
        ("base_url: https://me:secret@x/v1", "it holds credentials"),
        ("base_url: http://api.example.org/v1\n  key_env: KEY", "in the clear"),
        ("base_url: https://x/v1\n  key_env: KEY\n  key_file: key", "remove one"),
        ("base_url: https://x/v1\n  key: sk-1", "unknown field"),
    ],
)
def test_a_model_that_would_leak_its_key_or_has_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    assert any(
        says in found for found in problems(tmp_path, f"version: 1\nmodel:\n  {text}\n  models: [{{name: m}}]\n")
    )


def test_a_model_on_loopback_may_have_a_key_without_tls(tmp_path: Path) -> None:
    file = tmp_path / "spokegate.yaml"
    file.write_text(
        "version: 1\nmodel:\n  base_url: http://127.0.0.1:8000/v1\n  key_file: key\n  models: [{name: m}, {name: n}]\n"
    )
    model = load_config(file).model
    assert model is not None
    assert model.key_file == tmp_path / "key"


def test_a_model_stands_there_once(tmp_path: Path) -> None:
    text = "version: 1\nmodel:\n  base_url: https://x/v1\n  models: [{name: m}, {name: m}]\n"
    assert any("two of them have the same" in found for found in problems(tmp_path, text))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://opa.example.org:8181", "`http` to another machine"),
        ("http://10.0.0.1", "`http` to another machine"),
        ("http://localhost.example.org", "`http` to another machine"),
        ("https://me:secret@opa.example.org", "it holds a name or a password"),
        ("https://opa.example.org/v1", "not the URL of a server"),
        ("https://opa.example.org/", "not the URL of a server"),
        ("https://opa.example.org?x=1", "not the URL of a server"),
        ("https://opa.example.org:99999", "Port out of range"),
        ("https://opa.example.org:0", "port 0 is none"),
        ("unix:/run/opa.sock", "not the URL of a server"),
        ("opa.example.org:8181", "not the URL of a server"),
    ],
)
def test_an_opa_elsewhere_is_named_by_the_url_of_a_server_that_can_be_trusted(
    tmp_path: Path, url: str, why: str
) -> None:
    [found] = problems(tmp_path, f"version: 1\nopa:\n  url: {url}\n  token_file: t\n")
    assert found.startswith("3: ")
    assert why in found


@pytest.mark.parametrize("url", ["https://opa.example.org", "http://127.0.0.1:8181", "http://[::1]:8181"])
def test_the_files_of_an_opa_elsewhere_are_beside_the_configuration(tmp_path: Path, url: str) -> None:
    file = tmp_path / "spokegate.yaml"
    file.write_text(f"version: 1\nopa: {{url: '{url}', token_file: t, ca_file: c.pem}}\n")
    found = load_config(file).opa
    assert found is not None
    assert (found.url, found.token_file, found.ca_file) == (url, tmp_path / "t", tmp_path / "c.pem")


def test_policies_beside_an_opa_elsewhere_would_decide_nothing(tmp_path: Path) -> None:
    text = "version: 1\npolicies: [.]\nopa: {url: 'https://opa.example.org', token_file: t}\n"
    assert problems(tmp_path, text) == [
        "2: `policies`: the OPA at `opa.url` has its own: leave one of the two out",
    ]


def test_an_opa_elsewhere_needs_a_token(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "version: 1\nopa: {url: 'https://opa.example.org'}\n")
    assert "token_file" in found
