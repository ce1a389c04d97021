"""What a manifest wants of the user: each attribute once, for functions that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from hub.yaml_document import Lines, Problem


def wanted_problems(data: dict[Any, Any], lines: Lines) -> Iterator[Problem]:
    """Yield what in a manifest, as it is written, is wrong with the attributes of the user that it wants."""
    functions, wanted = data.get("functions"), data.get("user_data")
    known = functions.keys() if isinstance(functions, dict) else ()
    seen: set[str] = set()
    for index, item in enumerate(wanted if isinstance(wanted, list) else ()):
        if not isinstance(item, dict):
            continue  # the types have said so
        at, name, served = ("user_data", index), item.get("name"), item.get("functions")
        if isinstance(name, str):
            if name in seen:
                yield lines.problem((*at, "name"), f"`user_data.{index}.name`: `{name}` is there already: join the two")
            seen.add(name)
        for place, function in enumerate(served if isinstance(served, list) else ()):
            if isinstance(function, str) and function not in known:
                near = difflib.get_close_matches(function, known, n=1)
                mend = f"did you mean `{near[0]}`?" if near else "declare it under `functions`, or remove it"
                yield lines.problem(
                    (*at, "functions", place),
                    f"`user_data.{index}.functions`: there is no function `{function}`: {mend}",
                )
