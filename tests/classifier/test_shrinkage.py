from __future__ import annotations

import numpy as np
import torch

from hdgan.classifier.shrinkage import Reading, principal
from hdgan.features import moments
from hdgan.features.upsample import gather


def images(num=3, size=16):
    """Maps of two sizes whose channels are mixtures of three fields, and masks that are partly ignored."""
    torch.manual_seed(0)
    mixing = torch.randn(9, 3)
    found = []
    for _ in range(num):
        coarse, fine = (torch.einsum("cf,fhw->chw", mixing, torch.randn(3, edge, edge)) for edge in (4, size))
        found.append(((coarse, fine + 0.01 * torch.randn_like(fine)), np.full((size, size), 255, dtype=np.uint8)))
    return found


def places(size=16):
    index = torch.arange(size * size)
    return index // size, index % size


def projection_of(found, num, whitening):
    standardiser = moments.measure((maps for maps, _ in found), size=16)
    return standardiser, principal(found, standardiser=standardiser, num=num, whitening=whitening, seed=0)


def test_components_are_uncorrelated_and_whitening_brings_them_to_one_spread():
    found = images()
    rows, columns = places()
    for whitening in (0.0, 1.0):
        standardiser, projection = projection_of(found, 5, whitening)
        x = torch.cat([Reading.of(standardiser, projection)(maps, rows, columns, size=16) for maps, _ in found])
        covariance = (x.t() @ x / len(x)).numpy()
        assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-2
        variances = np.diag(covariance)
        assert np.isclose(variances[0], 1, atol=1e-3)
        assert (variances[1:] < 0.999).all() if whitening == 0 else np.allclose(variances, 1, atol=1e-2)


def test_reading_components_equals_projecting_the_standardised_features():
    found = images(1)
    standardiser, projection = projection_of(found, 4, 0.5)
    (maps, _), (rows, columns) = found[0], places()
    plain = standardiser(gather(maps, rows, columns, size=16))
    assert torch.equal(Reading.of(standardiser)(maps, rows, columns, size=16), plain)
    read = Reading.of(standardiser, projection)(maps, rows, columns, size=16)
    assert read.shape == (256, 4)
    torch.testing.assert_close(read, plain @ projection, rtol=1e-4, atol=1e-4)


def test_no_more_components_than_channels_and_dead_ones_are_not_magnified():
    standardiser, projection = projection_of(images(), 100, 1.0)
    assert projection.shape == (18, 18)
    # Twelve directions hold noise of a hundredth: dividing by their spread stops at a hundredth of the largest.
    assert projection.norm(dim=0).max() <= 100 * projection.norm(dim=0).min() * (1 + 1e-4)
