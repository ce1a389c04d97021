"""The access request: the whole of what a decision is made on.

A decision is a pure function of the policy bundle and this document (DESIGN: "The access request"), so everything
that a rule may look at is in it: facts of the manifests, grants, labels, provenance and the time. The models
here are its only definition; `opa/schemas/input.json` is generated from them (`make proto`) and type-checks the
policies, and a test holds the two together. Shape: AuthZEN's subject, action, resource, context.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION: Literal[1] = 1

Effect = Literal["read", "write", "irreversible"]
Trust = Literal["unreviewed", "reviewed", "system"]
ActionName = Literal["invoke", "return", "probe", "generate", "remember", "recall", "share", "connect"]
SubjectType = Literal["spoke", "user", "planner"]
GrantScope = Literal["once", "session", "until", "always"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelsFact(_Document):
    """Labels as sorted lists (sets have no JSON form)."""

    confidentiality: list[str] = Field(default_factory=list, description="Tags that the data carries.")
    integrity: list[str] = Field(default_factory=list, description="Untrusted origins that influenced it.")


class AppFact(_Document):
    """What the manifest and the installation say of an app."""

    name: str = Field(description="The app's name.")
    trust: Trust = Field(description="Set by the installation, never by the manifest.")
    clearance: list[str] = Field(description="Confidentiality tags that the app may receive.")
    digest: str = Field(description="SHA-256 of manifest and code, `sha256:<hex>`.")
    asks: list[str] = Field(description="Functions it declares that it asks for: `app.function`, `app.*` or `*`.")
    egress: list[str] = Field(description="Hosts it declares that it connects to: `host:port`.")
    asks_model: bool = Field(default=False, description="Whether it declares that it asks the model.")
    remembers: bool = Field(default=False, description="Whether it declares that it remembers the user.")
    user_data: list[str] = Field(
        default_factory=list, description="Attributes of the user that its functions want: `function.attribute`."
    )


class FunctionFact(_Document):
    """What the manifest and the installation say of a function."""

    name: str = Field(description="The function's name within its app.")
    effect: Effect = Field(description="What it does to the world.")
    egress: bool = Field(description="Whether it sends data out of the system.")
    control_arguments: list[str] = Field(description="RFC 6901 pointers of the arguments that steer it.")
    labels: LabelsFact = Field(
        description="What its result carries: as declared, and what else its app has learnt in the session."
    )


class HostFact(_Document):
    """What is known of a host before anything is asked about it: its name."""

    name: str = Field(description="The host's name, in lower case ASCII.")
    port: int = Field(ge=1, le=65535, description="The port.")
    scheme: Literal["http", "https", "connect"] = Field(
        description="What the hub speaks there; `connect` is a tunnel that it cannot look into."
    )
    origin: str = Field(description="The integrity label of whatever comes from there.")


class ModelFact(_Document):
    """What the configuration says of a model."""

    name: str = Field(description="The model's name at its provider.")
    clearance: list[str] = Field(description="Confidentiality tags that its provider may receive.")


class MemoryFact(_Document):
    """Whose memory it is. Its user is the user of the session."""

    app: str = Field(description="The app that remembers; `hub` for the hub itself.")
    labels: LabelsFact = Field(description="What is carried by all that would be told; nothing where it is stored.")


class AttributeFact(_Document):
    """What the user says of an attribute, and for what it is wanted."""

    name: str = Field(description="The attribute's name.")
    function: str = Field(description="The function that is to be told, by its name within the asking app.")
    confidentiality: list[str] = Field(description="Tags that the value carries.")


class Subject(_Document):
    """Who asks."""

    type: SubjectType = Field(description="What kind of asker.")
    id: str = Field(description="The app's name; `user` or `planner` otherwise.")
    user: str = Field(description="The user of the session.")
    roles: list[str] = Field(default_factory=list, description="The user's roles, from the configuration.")
    app: AppFact | None = Field(default=None, description="The asking app; only for type `spoke`.")


class Action(_Document):
    """What the subject wants to do."""

    name: ActionName = Field(description="The kind of request.")


class Resource(_Document):
    """What it wants to do it to."""

    type: Literal["function", "host", "model", "memory", "user_data"] = Field(
        description="The kind of resource: `host` for action `connect`, `model` for `generate`, `memory` for "
        "`remember` and `recall`, `user_data` for `share`."
    )
    id: str = Field(
        description="The function's full name, `app.function`, as it was asked for; or `host:port`, `model/NAME`, "
        "`memory/APP`, `user_data/NAME`."
    )
    app: AppFact | None = Field(default=None, description="The serving app; absent when there is none.")
    function: FunctionFact | None = Field(default=None, description="The function; absent when unknown.")
    host: HostFact | None = Field(default=None, description="The host; only for type `host`.")
    model: ModelFact | None = Field(default=None, description="The model; only for type `model`.")
    memory: MemoryFact | None = Field(default=None, description="The memory; only for type `memory`.")
    user_data: AttributeFact | None = Field(default=None, description="The attribute; only for type `user_data`.")


class Provenance(_Document):
    """Where one argument's value comes from: evidence, not proof. `hub.mediation.provenance` says how it is found."""

    user: bool = Field(description="Whether the value stands in what the user said or typed.")
    sources: list[str] = Field(alias="from", description="Functions whose results in this session hold the value.")
    user_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Of a text of four words or more that is not the user's: how much of it is; absent where none is.",
    )
    named_source: LabelsFact | None = Field(
        default=None,
        description="What is carried by those of the results that the user named, or a person agreed to; absent where "
        "there are none.",
    )
    leaf_of: list[str] | None = Field(
        default=None,
        description="Functions whose results hold exactly this value as a leaf, not in a text; absent where none does.",
    )
    identifier_of: list[str] | None = Field(
        default=None,
        description="Of those, the ones whose apps say that it is the name of something that is there; absent where "
        "none does.",
    )
    links: list[str] | None = Field(
        default=None,
        description="Links in the value that the user did not say; absent where there are none.",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Counts(_Document):
    """What has been asked for in this session: calls (action `invoke`), this one included, and of the person."""

    session: int = Field(ge=0, description="All calls of the session.")
    function: int = Field(
        ge=0, description="Calls of the session for this function, or uses of this host, model or other resource."
    )
    session_minute: int = Field(ge=0, description="All calls of the session within the last minute.")
    function_minute: int = Field(ge=0, description="Calls of the session for this function within the last minute.")
    prompts: int = Field(ge=0, description="Prompts that were shown to a person in this session.")
    approved: int = Field(ge=0, description="Of those, the ones that were answered with yes.")
    declined: int = Field(
        default=0,
        ge=0,
        description="How often a person said no to just this request, arguments and all, since the user last spoke.",
    )
    session_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens of the model that the session has used, with the most that requests under way may use.",
    )
    app_tokens: int = Field(default=0, ge=0, description="Of those, the asker's.")
    user_tokens: int = Field(
        default=0, ge=0, description="Tokens that the user has used today (UTC), in all sessions since the hub started."
    )


class Context(_Document):
    """The circumstances."""

    session: str = Field(description="The session.")
    time: str = Field(description="When the request was described, RFC 3339 in UTC.")
    planned: bool = Field(description="Whether the plan expects the call; false without a plan.")
    plan: list[str] | None = Field(
        default=None,
        description="The functions that the plan for the user's wish expects, `app.function`; absent without a plan.",
    )
    chain: list[str] = Field(description="The calls that led here, outermost first, ending with the asker.")
    hop: int = Field(ge=0, description="How many spokes the chain has passed; 0 for a call by the user.")
    labels: LabelsFact = Field(description="What the asker may know.")
    called_for: bool = Field(
        default=False,
        description="Whether the user's words hold the verb that the function's name begins with; not of errands.",
    )
    provenance: dict[str, Provenance] = Field(description="By RFC 6901 pointer, for every value in the arguments.")
    arguments_digest: str = Field(description="SHA-256 of the canonical arguments, `sha256:<hex>`.")
    counts: Counts = Field(description="Calls so far.")


class GrantFact(_Document):
    """A grant that could matter. Whether it counts is the policies' to say."""

    id: str = Field(description="The grant.")
    scope: GrantScope = Field(description="For how long it holds.")
    user: str = Field(description="Who gave it.")
    session: str = Field(description="The session it was given in.")
    caller: str = Field(description="The subject id it was given to.")
    function: str = Field(description="The resource id it was given for.")
    caller_digest: str | None = Field(default=None, description="The asking app as it was; absent for the user.")
    target_digest: str | None = Field(default=None, description="The serving app as it was.")
    arguments_digest: str | None = Field(
        default=None, description="The exact arguments; absent where the constraint binds. Scope once has it always."
    )
    constraint: dict[str, Any] | None = Field(
        default=None, description="Control arguments by pointer, and the values they must have."
    )
    labels: LabelsFact = Field(description="What the asker carried when it was given.")
    expires: str | None = Field(default=None, description="When it ends by itself, RFC 3339 in UTC; scope until.")
    uses_left: int | None = Field(default=None, description="How many requests it still covers; absent for any number.")
    chain: list[str] | None = Field(
        default=None, description="The calls that led to the request; absent for the user's own call of the asker."
    )


class AccessRequest(_Document):
    """OPA's `input`, version 1."""

    version: Literal[1] = Field(description="The version of this document.")
    subject: Subject
    action: Action
    resource: Resource
    arguments: dict[str, Any] = Field(
        description="The canonical arguments that would be delivered; for a host, what is known of the request."
    )
    result: Any | None = Field(default=None, description="Action `return` only: the result that would be delivered.")
    context: Context
    grants: list[GrantFact] = Field(description="Grants of this user, asker and function.")

    def to_input(self) -> dict[str, Any]:
        """Return the document as JSON types, absent fields left out."""
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        if self.action.name == "return":
            document["result"] = self.result  # null is a result too
        return document


def input_schema() -> dict[str, Any]:
    """Return the JSON Schema of OPA's `input`, as `opa check --schema` reads it.

    Absent fields are left out of the document, never null, so `X | null` is told to the type checker as X.
    """
    schema: dict[str, Any] = _without_null(AccessRequest.model_json_schema(by_alias=True))
    return schema


def _without_null(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    options = [option for option in node.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        node = {**{key: value for key, value in node.items() if key not in ("anyOf", "default")}, **options[0]}
    return {key: _without_null(value) for key, value in node.items()}
