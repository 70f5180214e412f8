from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hdgan.plots.letters import letters

MISSING = "\U0010fffe"


def drawn(letter, font):
    picture = Image.new("L", (40, 40))
    ImageDraw.Draw(picture).text((8, 4), letter, fill=255, font=font)
    return np.asarray(picture)


@pytest.mark.parametrize("name", ["Gefäß", "glomérulo", "łącznotkankowy", "медулла", "σπείραμα", "5 µm²"])
def test_every_letter_of_a_name_is_drawn_as_itself(name):
    font = letters(name, size_px=16)
    box = drawn(MISSING, font)
    assert not any(np.array_equal(drawn(letter, font), box) for letter in name if letter != " ")


def test_a_name_in_ascii_is_drawn_as_it_always_was():
    assert letters("cortical tubulointerstitium", size_px=14).getname() == letters("", size_px=14).getname()
    assert letters("glom\u00e9rulo", size_px=14).getname()[0] == "DejaVu Sans"
