"""The bounded tail of what a spoke writes."""

from spoke_runner.sandbox.logs import MAX_LINE_CHARACTERS, MAX_LINES, LogTail


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_are_kept_whole_across_reads() -> None:
    tail = LogTail(1000)

    tail.feed(b"one\ntw")
    tail.feed(b"o\nthr")

    assert tail.lines() == ("one", "two", "thr")


def test_what_exceeds_the_rate_is_dropped_and_counted() -> None:
    clock = Clock()
    tail = LogTail(10, clock)

    tail.feed(b"12345678\n")
    tail.feed(b"a\nbcdef")

    assert tail.dropped_bytes == 6
    assert tail.lines() == ("12345678", "a", "[6 bytes dropped: more than 10 a second]")


def test_the_allowance_comes_back_with_time_up_to_one_second_of_it() -> None:
    clock = Clock()
    tail = LogTail(10, clock)
    tail.feed(b"x" * 10)

    clock.now = 0.5
    tail.feed(b"y" * 10)
    clock.now = 60.0
    tail.feed(b"z" * 20)

    assert tail.lines()[0] == "x" * 10 + "y" * 5 + "z" * 10
    assert tail.dropped_bytes == 15


def test_only_the_last_lines_are_kept() -> None:
    tail = LogTail(10**6)

    tail.feed(b"".join(b"%d\n" % number for number in range(MAX_LINES + 5)))

    assert tail.lines() == tuple(str(number) for number in range(5, MAX_LINES + 5))


def test_a_line_without_an_end_is_cut() -> None:
    tail = LogTail(10**6)

    tail.feed(b"x" * (MAX_LINE_CHARACTERS * 3 + 1))

    assert [len(line) for line in tail.lines()] == [MAX_LINE_CHARACTERS] * 3 + [1]


def test_control_characters_and_broken_text_come_out_printable() -> None:
    tail = LogTail(1000)

    tail.feed(b"\x1b[2Jgone\r\n\xff\xfe\n")

    assert tail.lines() == ("\\x1b[2Jgone", "\ufffd\ufffd")
