"""The configuration: `spokegate.yaml`, read once, frozen, unknown keys refused.

Paths are relative to the file. What is left out has the default that the field's sentence names.
"""

from __future__ import annotations

import getpass
import json
import os
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from hub.spokes.egress.addresses import parse_socket_address
from hub.spokes.manifest import Label, Name, ResultLabels
from hub.yaml_document import DocumentInvalid, field_problems, read_yaml

CONFIG_NAME = "spokegate.yaml"
PROJECT_ROOT = Path(__file__).resolve().parent.parent

UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$")]


class ConfigInvalid(DocumentInvalid):
    """The configuration cannot be used."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AppConfig(_Document):
    """One installed app, and what its owner says of it."""

    path: Path = Field(description="The app's directory.")
    trust: Literal["unreviewed", "reviewed", "system"] = Field(
        default="unreviewed", description="How far it is trusted: `unreviewed`, `reviewed` or `system`."
    )
    clearance: tuple[Label, ...] = Field(default=(), description="Confidentiality tags that it may receive.")
    result_labels: dict[Name, ResultLabels] = Field(
        default_factory=dict, description="By function: labels of its results beyond those of the manifest."
    )
    enable: tuple[Name, ...] = Field(
        default=(), description="The functions and toolkits of it that are offered; all of them by default."
    )


class ClientConfig(_Document):
    """One socket for clients, and the user that whoever connects to it is."""

    user: UserName = Field(description="The user.")
    roles: tuple[str, ...] = Field(default=(), description="The user's roles, for the policies.")
    socket: str = Field(
        default="hub.sock",
        description="The socket's name in the runtime directory; it ends in `.sock`.",
        pattern=r"^[\w-][\w.-]*\.sock$",
    )

    @field_validator("socket")
    @classmethod
    def _not_the_hubs_own(cls, value: str) -> str:
        if value == "opa.sock":
            raise ValueError("the hub's OPA listens there: choose another name")
        return value


class SandboxConfig(_Document):
    """What the walls around every spoke must at least be."""

    minimum: Literal["strict", "no-userns"] = Field(
        default="strict", description="The weakest level that a hub starts with: `strict` or `no-userns`."
    )


class AuditConfig(_Document):
    """What the audit log holds."""

    payloads: bool = Field(
        default=False,
        description="Whether it keeps the arguments and results that were decided on, not only their digests.",
    )


class EgressConfig(_Document):
    """What spokes may reach outside, besides what the policies say, and how much of it."""

    private_addresses: tuple[str, ...] = Field(
        default=(),
        description="Addresses that a declared host may be at though they are not public, each as `ADDRESS:PORT`, "
        "such as `10.0.0.7:443` or `[fd00::7]:443`.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates that `fetch` trusts besides this machine's, as PEM."
    )
    connections_per_spoke: int = Field(
        default=32, ge=1, le=1024, description="How many connections of one spoke are served at once."
    )
    idle_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="After how long without a byte a connection is cut."
    )
    connection_seconds: float = Field(
        default=600.0, gt=0, le=86400, description="After how long a connection is cut in any case."
    )
    max_sent_mb: int = Field(default=64, ge=1, le=65536, description="How much may go out over one connection, in MiB.")
    max_received_mb: int = Field(
        default=256, ge=1, le=65536, description="How much may come in over one connection, in MiB."
    )

    @field_validator("private_addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parse_socket_address(text)
        return value


class ModelSpecConfig(_Document):
    """One model of the provider, and what its owner says of it."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}$")] = Field(
        description="Its name at the provider."
    )
    clearance: tuple[Label, ...] = Field(
        default=(), description="Confidentiality tags that the provider may receive; none by default."
    )
    max_completion_tokens: int = Field(default=4096, ge=1, le=1 << 20, description="The longest answer, in tokens.")
    max_prompt_characters: int = Field(
        default=400_000, ge=1, le=1 << 20, description="The longest request, in characters of JSON."
    )


class ModelConfig(_Document):
    """Where the model is. Apps never see any of it but the models' names."""

    base_url: str = Field(
        description="The base URL of a provider of the chat-completions API, such as `https://api.example.org/v1`."
    )
    key_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="The environment variable that holds the API key; it is not read from anywhere else."
    )
    key_file: Path | None = Field(default=None, description="The file that holds the API key, in place of `key_env`.")
    models: tuple[ModelSpecConfig, ...] = Field(
        min_length=1, description="The models; the first is for requests that name none."
    )
    retries: int = Field(default=2, ge=0, le=5, description="How often a request that failed is tried again.")
    connect_seconds: float = Field(default=10.0, gt=0, le=60, description="How long the provider may take to connect.")
    idle_seconds: float = Field(default=60.0, gt=0, le=600, description="How long the provider may say nothing.")

    @property
    def on_this_machine(self) -> bool:
        """Whether the provider is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @field_validator("base_url")
    @classmethod
    def _an_http_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError("not a base URL: write `https://HOST/v1`")
        if url.username is not None or url.password is not None:
            raise ValueError("it holds credentials: leave them out, and name them in `key_env` or `key_file`")
        return value

    @field_validator("models")
    @classmethod
    def _each_once(cls, value: tuple[ModelSpecConfig, ...]) -> tuple[ModelSpecConfig, ...]:
        if len({model.name for model in value}) != len(value):
            raise ValueError("two of them have the same `name`: remove one")
        return value

    @model_validator(mode="after")
    def _one_key_that_stays_secret(self) -> ModelConfig:
        if self.key_env is not None and self.key_file is not None:
            raise ValueError("it has both `key_env` and `key_file`: remove one")
        url = urlsplit(self.base_url)
        if (self.key_env or self.key_file) and url.scheme == "http" and not self.on_this_machine:
            raise ValueError("`base_url` is http, so the key would go over the network in the clear: use https")
        return self


class MemoryConfig(_Document):
    """How much of what was said is told at once; what goes beyond it is summarised."""

    history_characters: int = Field(
        default=16_000, ge=1_000, le=1_000_000, description="Of the latest turns of an app with a user."
    )
    summary_characters: int = Field(default=4_000, ge=200, le=100_000, description="Of the summary of those before.")


class LimitsConfig(_Document):
    """What the hub bounds."""

    call_seconds: float = Field(default=120.0, gt=0, le=3600, description="Deadline of a call that brings none.")
    prompt_seconds: float = Field(default=60.0, gt=0, le=3600, description="How long a prompt waits.")
    decision_seconds: float = Field(default=1.0, gt=0, le=30, description="How long OPA may take for a decision.")
    spoke_idle_seconds: float = Field(default=300.0, gt=0, description="After how long an idle spoke is ended.")
    session_idle_seconds: float = Field(default=3600.0, gt=0, description="After how long an idle session is closed.")
    spokes: int = Field(default=200, ge=1, description="How many spokes may run at once.")
    sessions_per_user: int = Field(default=100, ge=1, description="How many sessions a user may have open.")
    hops: int = Field(default=8, ge=1, le=64, description="How many spokes a chain of calls may pass.")


class Config(_Document):
    """A whole configuration."""

    version: Literal[1] = Field(default=1, description="The version of this format: `1`.")
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = Field(
        default="hub",
        description="What the hub calls itself in the audit log (a-z, 0-9, _, . and -); hubs that share a database "
        "have different names.",
    )
    database: str | None = Field(
        default=None,
        description="The URL of a PostgreSQL database that several hubs share, such as "
        "`postgresql://spokegate@db.example/spokegate`; by default SQLite in `state_dir`.",
    )
    state_dir: Path = Field(
        default_factory=lambda: _state_dir(),
        description="Where the database and the apps' data are; `~/.local/state/spokegate` by default.",
    )
    runtime_dir: Path = Field(
        default_factory=lambda: runtime_dir(),
        description="Where the sockets are; `spokegate` in the user's runtime directory by default.",
    )
    policies: tuple[Path, ...] = Field(
        default=(PROJECT_ROOT / "policies",), description="Directories of Rego; a site adds its own."
    )
    apps: tuple[AppConfig, ...] = Field(default=(), description="The installed apps.")
    clients: tuple[ClientConfig, ...] = Field(
        default_factory=lambda: (ClientConfig(user=getpass.getuser()),),
        min_length=1,
        description="The sockets for clients; by default one, for the user who runs the hub.",
    )
    sandbox: SandboxConfig = Field(default_factory=SandboxConfig, description="The walls around every spoke.")
    audit: AuditConfig = Field(default_factory=AuditConfig, description="What the audit log holds.")
    egress: EgressConfig = Field(default_factory=EgressConfig, description="What spokes may reach outside.")
    model: ModelConfig | None = Field(
        default=None, description="Where the model is; without one, apps that ask it are refused."
    )
    memory: MemoryConfig = Field(default_factory=MemoryConfig, description="How much of a history is told at once.")
    limits: LimitsConfig = Field(default_factory=LimitsConfig, description="What the hub bounds.")

    @field_validator("database")
    @classmethod
    def _a_database(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        if url.scheme != "postgresql":
            raise ValueError(
                "not a PostgreSQL URL: write `postgresql://user@host/database`, or leave it out for SQLite"
            )
        if url.password is not None:
            raise ValueError("it holds a password: leave it out, and set PGPASSFILE or PGPASSWORD")
        return value

    @property
    def database_location(self) -> Path | str:
        """Where the database is: a file of the state directory, unless a URL is given."""
        return self.database or self.state_dir / "hub.db"


def runtime_dir() -> Path:
    """Return the directory for sockets of the user who runs this process."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        return Path(base) / "spokegate"
    return Path(tempfile.gettempdir()) / f"spokegate-{os.geteuid()}"


def _state_dir() -> Path:
    """Return the directory for what is kept of the user who runs this process."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "spokegate"


def find_config(path: Path | None) -> Path:
    """Return the configuration file to use: the given one, `SPOKEGATE_CONFIG`, `./spokegate.yaml`, or the project's."""
    if path is not None:
        return path
    named = os.environ.get("SPOKEGATE_CONFIG")
    if named:
        return Path(named)
    here = Path(CONFIG_NAME)
    return here if here.exists() else PROJECT_ROOT / CONFIG_NAME


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigInvalid: It cannot be read, or something is wrong with it; all problems at once.
    """
    try:
        data, lines, problems = read_yaml(path)
    except DocumentInvalid as error:
        raise ConfigInvalid(error.problems) from None
    if not isinstance(data, dict):
        raise ConfigInvalid([*problems, lines.problem((), "a configuration is a mapping of fields")])
    try:
        config = Config.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise ConfigInvalid([*problems, *field_problems(error, lines, _model_at)]) from None
    sockets = [client.socket for client in config.clients]
    if len(set(sockets)) != len(sockets):
        problems.append(lines.problem(("clients",), "`clients`: two of them have the same `socket`: rename one"))
    for index, app in enumerate(config.apps):
        if not (path.parent / app.path).is_dir():
            problems.append(lines.problem(("apps", index, "path"), f"`path`: there is no directory {app.path}"))
    if problems:
        raise ConfigInvalid(problems)
    return _resolve(config, path.resolve().parent)


def _resolve(config: Config, base: Path) -> Config:
    return config.model_copy(
        update={
            "state_dir": base / config.state_dir.expanduser(),
            "runtime_dir": base / config.runtime_dir.expanduser(),
            "policies": tuple(base / directory for directory in config.policies),
            "egress": config.egress.model_copy(
                update={"ca_file": base / config.egress.ca_file if config.egress.ca_file is not None else None}
            ),
            "model": config.model.model_copy(
                update={"key_file": base / config.model.key_file.expanduser() if config.model.key_file else None}
            )
            if config.model is not None
            else None,
            "apps": tuple(app.model_copy(update={"path": (base / app.path).resolve()}) for app in config.apps),
        }
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _model_at(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    match path:
        case ():
            return Config
        case ("sandbox",):
            return SandboxConfig
        case ("egress",):
            return EgressConfig
        case ("model",):
            return ModelConfig
        case ("model", "models", _):
            return ModelSpecConfig
        case ("memory",):
            return MemoryConfig
        case ("limits",):
            return LimitsConfig
        case ("apps", _):
            return AppConfig
        case ("clients", _):
            return ClientConfig
        case ("apps", _, "result_labels", _):
            return ResultLabels
    return None
