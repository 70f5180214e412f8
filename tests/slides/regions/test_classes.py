from hdgan.slides.regions.classes import is_of_class


def test_a_class_is_found_by_name_or_by_what_it_derives_from():
    assert is_of_class("Glomerulus", ["glomerulus"])
    assert is_of_class("glomerulus: sclerosed", ["artery", "glomerulus"])
    assert is_of_class("glomerulus: sclerosed", ["Glomerulus: Sclerosed"])
    assert not is_of_class("glomerulus", ["glomerulus: sclerosed"])
    assert not is_of_class("glomerular", ["glomerul"])
    assert is_of_class("", [""])
