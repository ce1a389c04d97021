"""Prints the table of the attacks on the protocol at the end of the run, and writes it to `build/`."""

from __future__ import annotations

import pytest

from tests.attack.ledger import write_table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := write_table():
        terminalreporter.section("attacks on the protocol")
        for line in lines:
            terminalreporter.write_line(line)
