"""What a function sees of the call that it serves."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Role = Literal["user", "assistant", "tool"]


class Refused(Exception):
    """The hub did not let an ask through, or what was asked for failed.

    Args:
        reason: The kind, such as `POLICY_DENIED`: a name of `ErrorReason` without its prefix.
        decision_id: The decision, for whoever reads the audit log; empty when none was made.
        message: The fixed public text of the reason.
    """

    def __init__(self, reason: str, *, decision_id: str = "", message: str = "") -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.decision_id = decision_id
        self.message = message


@dataclass(frozen=True, slots=True)
class ProbedFunction:
    """A function that the app may ask for. Its texts are another author's words: do not trust them."""

    name: str
    description: str
    arguments_schema: dict[str, Any]
    result_schema: Any


@dataclass(frozen=True, slots=True)
class Response:
    """What a host outside answered, whole. All of it is another's words: do not trust them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of that name, in whatever case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def text(self) -> str:
        """Return the body as text: UTF-8, what is not is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """What was said, oldest first, as far back as there is room: the summary is of what was before."""

    summary: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Generated:
    """The model's answer.

    Attributes:
        message: The assistant's message as the chat-completions API has it: `role`, `content` and, where it calls
            tools, `tool_calls`. It can be sent back as it is.
        finish_reason: `stop`, `length`, `tool_calls` or `content_filter`.
        prompt_tokens: How long the request was.
        completion_tokens: How long the answer was.
    """

    message: dict[str, Any]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def text(self) -> str:
        """What it said."""
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The tools that it calls, as the API has them; the arguments are a text that need not be JSON."""
        calls: list[dict[str, Any]] = self.message.get("tool_calls") or []
        return calls


class Call(Protocol):
    """One call of one function, and the only way from it to anything outside the sandbox.

    It ends when the function returns or raises: asks that are still open then are cancelled, later ones raise
    `RuntimeError`.
    """

    @property
    def data(self) -> Path:
        """The directory that the app keeps its data in: the only place where it may write."""

    @property
    def user_data(self) -> Mapping[str, Any]:
        """What the app may know of the user, by name: of what the manifest wants for this function.

        A name is not there when the user has not set it, or does not want it shared.
        """

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Ask for another app's function, as `app.function`, and return its result.

        Raises:
            Refused: It was not let through, or failed.
            ValueError: The arguments have no JSON form or are too large.
        """

    @property
    def app(self) -> str:
        """The app's own name."""

    @property
    def instructions(self) -> str:
        """What an agent or annotation is told to do, by its manifest; empty for a tool."""

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        """Return the functions that this app may ask for, by name: its own, and of those that its manifest declares.

        Args:
            functions: Only these, each as `app.function` or `app.*`; all when there are none.

        Raises:
            Refused: The probe was not let through.
        """

    async def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Generated:
        """Ask the model. The manifest declares it with `asks_model: true`, or by the kind of app.

        Args:
            messages: The conversation, as the chat-completions API has it; text only.
            tools: The tools that it may call, as the API has them.
            on_text: Awaited with each piece of the text while the model speaks.
            options: `model`, `tool_choice`, `temperature`, `max_completion_tokens`, `response_format`.

        Raises:
            Refused: It was not let through, or failed: `MODEL_UNAVAILABLE` where there is no model or none answers.
            ValueError: The request has no JSON form or is too large.
        """

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_response_bytes: int = 0,
        timeout_seconds: float = 0.0,
    ) -> Response:
        """Ask the hub for one HTTP exchange with a host that the manifest declares under `egress`.

        A status such as 404 or 302 is an answer: redirects are not followed, fetch where they lead.

        Args:
            url: Absolute, http or https.
            method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
            headers: Without Host and Content-Length, which the hub says.
            body: At most 512 KiB.
            max_response_bytes: Refused beyond it, never cut short: 1 MiB when 0, 3 MiB at most.
            timeout_seconds: 30 when 0.

        Raises:
            Refused: It was not let through, or failed.
        """

    async def remember(self, key: str, value: Any) -> None:
        """Keep a value for the user beyond this session, in place of what was under its key; it is durable on return.

        Whoever recalls it carries from then on what this spoke carries now.

        Args:
            key: At most 200 bytes.
            value: What has a JSON form, of at most 64 KiB.

        Raises:
            Refused: It was not let through, or there is no room.
            ValueError: The value has no JSON form or is too large.
        """

    async def forget(self, key: str) -> None:
        """Forget the value under a key, if there is one.

        Raises:
            Refused: It was not let through.
        """

    async def recall(self, key: str, default: Any = None) -> Any:
        """Return the value that is kept for the user under a key, or the default.

        Raises:
            Refused: It was not let through.
        """

    async def entries(self) -> dict[str, Any]:
        """Return all that is kept for the user, by key.

        Raises:
            Refused: It was not let through.
        """

    async def say(self, role: Role, text: str) -> None:
        """Add to the history with the user; it is durable on return.

        Args:
            role: Who said it: `user`, `assistant` or `tool`.
            text: At most 64 KiB.

        Raises:
            Refused: It was not let through, or there is no room.
            ValueError: The text is too large.
        """

    async def history(self) -> History:
        """Return what was said in this and earlier sessions with the user.

        Raises:
            Refused: It was not let through.
        """

    async def progress(self, text: str, *, answer: bool = False) -> None:
        """Send a sign of life; what is beyond 1 KiB is cut off.

        Args:
            text: What the function is at.
            answer: The text is the next piece of what it is going to return as `text`, and can be shown already.
        """
