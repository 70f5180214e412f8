from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from hdgan.store.tables import csv_text

# A lone carriage return is a line's end to Python's reader, quoted or not.
WORDS = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8)


@given(rows=st.lists(st.tuples(WORDS, WORDS), max_size=5))
def test_what_is_written_is_read_again(rows):
    text = csv_text(["a", "b"], rows)
    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))] == [("a", "b"), *rows]


def test_lines_end_alike_on_every_system():
    assert csv_text(["a", "b"], [(1, None), ("x, y", 0.5)]) == 'a,b\n1,\n"x, y",0.5\n'
