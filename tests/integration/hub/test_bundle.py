"""The revision of the policies: the digest of what decides, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import PROJECT_ROOT
from hub.opa.binary import find_opa
from hub.opa.bundle import PolicyBundle, PolicyInvalid
from tests.support.live import ALLOW_ALL, FIXED, policies_of


def bundle(sources: Path, directory: Path) -> PolicyBundle:
    return PolicyBundle(find_opa(PROJECT_ROOT).path, [sources], directory)


async def test_the_same_policies_have_the_same_revision_wherever_they_are(tmp_path: Path) -> None:
    first, second = (policies_of(tmp_path / name, ALLOW_ALL) for name in ("a", "b"))
    revision = await bundle(first, tmp_path / "out" / "a").build()
    assert revision == await bundle(second, tmp_path / "out" / "b").build()
    assert revision.startswith("sha256:")


async def test_a_change_of_a_policy_is_a_new_revision_and_one_of_its_tests_is_not(tmp_path: Path) -> None:
    sources = policies_of(tmp_path / "policies", ALLOW_ALL)
    it = bundle(sources, tmp_path / "out" / "bundle")
    before = await it.build()
    (sources / "decision_test.rego").write_text("package spokegate_test\n\ntest_it if true\n")
    assert await it.build() == before
    (sources / "decision.rego").write_text(FIXED % "deny")
    assert await it.build() != before
    (sources / "data.json").write_text('{"more": 1}')
    assert await it.build() not in {before, ""}


async def test_a_test_of_the_policies_that_does_not_compile_keeps_nothing_from_being_decided(tmp_path: Path) -> None:
    sources = policies_of(tmp_path / "policies", ALLOW_ALL)
    (sources / "decision_test.rego").write_text("package spokegate_test\n\ntest_it if {\n")
    assert await bundle(sources, tmp_path / "out" / "bundle").build()


async def test_policies_that_do_not_compile_leave_the_bundle_in_place(tmp_path: Path) -> None:
    sources = policies_of(tmp_path / "policies", ALLOW_ALL)
    it = bundle(sources, tmp_path / "out" / "bundle")
    before, content = await it.build(), it.path.read_bytes()
    (sources / "decision.rego").write_text("package spokegate\n\ndecision := {\n")
    with pytest.raises(PolicyInvalid, match=r"decision\.rego:\d+"):
        await it.build()
    assert (it.revision, it.path.read_bytes()) == (before, content)
    assert [path.name for path in it.path.parent.iterdir()] == ["bundle.tar.gz"]
