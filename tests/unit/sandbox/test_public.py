"""The public face of the package."""

import subprocess
import sys

import pytest

import spoke_runner.sandbox


def test_every_public_name_is_there() -> None:
    for name in spoke_runner.sandbox.__all__:
        assert getattr(spoke_runner.sandbox, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = spoke_runner.sandbox.nothing


def test_the_first_stage_loads_neither_the_launcher_nor_asyncio() -> None:
    code = "import sys, spoke_runner.sandbox.inside as i; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "spoke_runner.sandbox.inside.seal" in loaded
    assert not {"spoke_runner.sandbox.launcher", "spoke_runner.sandbox.command", "asyncio", "grpc"} & set(loaded)
