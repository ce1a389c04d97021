"""What a person is told when a host cannot do it."""

import pytest

from spoke_runner.sandbox import SandboxUnavailable
from spoke_runner.sandbox.diagnosis import check_version, explain


@pytest.mark.parametrize(
    ("said", "layer"),
    [
        ("bwrap: Unknown option --disable-userns", "bubblewrap"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "proc"),
        ("bwrap: No permissions to create new namespace, likely because the kernel does not allow it", "namespaces"),
        ("bwrap: setting up uid map: Permission denied", "namespaces"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "namespaces"),
        ("setpriv: setresuid failed: Operation not permitted", "uid"),
        ("PermissionError: [Errno 13] Permission denied: '/opt/spokegate/lib/spoke_runner'", "runtime"),
        ("Segmentation fault", "first stage"),
    ],
)
def test_each_known_answer_names_its_layer_and_a_mend(said: str, layer: str) -> None:
    error = explain((said,))

    assert error.layer == layer
    assert said in error.why
    assert error.mend


def test_a_command_that_ends_without_a_word_is_explained_too() -> None:
    assert "without a word" in explain(()).why


def test_a_bubblewrap_that_is_new_enough_passes() -> None:
    assert check_version("bubblewrap 0.8.0") == "0.8.0"
    assert check_version("bubblewrap 0.11.1") == "0.11.1"


@pytest.mark.parametrize("answer", ["bubblewrap 0.7.9", "something else"])
def test_a_bubblewrap_that_is_too_old_or_no_bubblewrap_is_refused(answer: str) -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        check_version(answer)

    assert caught.value.layer == "bubblewrap"
    assert "bubblewrap" in caught.value.mend
