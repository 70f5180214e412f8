from __future__ import annotations

import io
import threading

import pytest

from hdgan.cli.progress import LINE_EVERY_S, Bar, PlainLines, showing, span


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (8, "8 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h"), (0, "0 s")],
)
def test_a_duration_is_written_as_people_say_it(seconds, text):
    assert span(seconds) == text


def test_a_log_gets_a_line_at_begin_and_end_and_one_now_and_then():
    stream, clock = io.StringIO(), Clock()
    lines = PlainLines(stream, clock=clock)
    lines.start("tiles", total=100, done=20)
    for _ in range(40):
        clock.now += 1
        lines.advance(note="fine")
    lines.finish()
    written = stream.getvalue().splitlines()
    assert written[0] == "tiles: 100 to do, 20 done earlier"
    assert len(written) == 2 + 40 // LINE_EVERY_S
    assert written[1] == "tiles: 40 of 100, 20 s elapsed, about 1 min left, fine"
    assert written[-1] == "tiles: 60 of 100 in 40 s"


def test_what_was_done_earlier_does_not_shorten_the_estimate():
    stream, clock = io.StringIO(), Clock()
    lines = PlainLines(stream, clock=clock)
    lines.start("tiles", total=1000, done=900)
    clock.now = 30
    lines.advance(50)
    assert "about 30 s left" in stream.getvalue()


def test_no_terminal_means_plain_lines():
    stream = io.StringIO()
    with showing(stream) as progress:
        progress.say("hello [not markup]")
    assert stream.getvalue() == "hello [not markup]\n"


def test_a_terminal_gets_a_bar_with_count_note_and_time():
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with showing(stream) as progress:
        assert isinstance(progress, Bar)
        progress.start("draw [images]", total=3)
        progress.advance(2, note="loss 0.5")
        progress.say("a remark")
        progress.advance()
        progress.finish()
        progress.advance()
    text = stream.getvalue()
    for part in ("draw [images]", "3/3", "loss 0.5", "a remark", "0:00:0"):
        assert part in text


def test_a_task_inside_a_task_takes_the_bar_over_and_gives_it_back():
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with showing(stream) as progress:
        progress.start("outer", total=2)
        progress.advance()
        progress.start("inner", total=3)
        progress.advance(3)
        progress.finish()
        progress.advance()
        progress.finish()
    text = stream.getvalue()
    assert "3/3" in text[text.index("inner") :]
    assert "2/2" in text[text.rindex("outer") :]


def test_bars_of_tasks_that_an_error_ended_are_stopped():
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="amid"), showing(stream) as progress:
        progress.start("outer", total=2)
        progress.start("inner", total=1)
        raise ValueError("amid both")
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)  # what draws a bar looks ten times a second whether it is to end
    assert set(threading.enumerate()) <= before


def test_a_log_goes_on_with_the_task_in_which_another_began():
    stream, clock = io.StringIO(), Clock()
    lines = PlainLines(stream, clock=clock)
    lines.start("controls", total=4)
    lines.advance(2)
    lines.start("train", total=100)
    clock.now = 10
    lines.advance(100)
    lines.finish()
    clock.now = 30
    lines.advance()
    lines.finish()
    lines.finish()  # more than were begun
    lines.advance()
    assert stream.getvalue().splitlines() == [
        "controls: 4 to do",
        "train: 100 to do",
        "train: 100 of 100 in 10 s",
        "controls: 3 of 4, 30 s elapsed, about 10 s left",
        "controls: 3 of 4 in 30 s",
    ]
