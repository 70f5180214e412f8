"""The networks against numbers measured on the published implementation (float32, CPU): same weights, same results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.generator import losses
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.spec import NetworkSpec

from .conftest import fill, statistics

PLAIN = {
    "w": [0.4908265, 1.0119274, 1.7247633, 0.6597037, -0.2423400],
    "image": [0.6391351, 1.1407766, -0.5216894, -0.9593031, -0.0543810],
    "truncated": [0.3707750, 0.8578183, -0.5093611, -0.8344003, -0.0118168],
    "noiseless": [0.6607089, 1.1421180, -0.3256088, -0.5868670, -0.1691771],
    "logits": [0.212912, -0.132449, -0.130556, -0.032526],
    "r1": [0.00324993, 0.000973616, 0.00203241, 0.00216764],
    "lengths": [0.939139, 1.39396, 0.735101, 0.814402],
    "parameters": (263987, 288993),
}
DEEP = {
    "w": [0.3986000, 0.9239299, -0.8835158, -0.2775733, 0.3514023],
    "image": [-0.3375790, 1.3387670, -0.0689352, 0.4916367, 0.3303346],
    "truncated": [-0.2750747, 1.0771297, -0.0866383, 0.2673006, 0.2627710],
    "noiseless": [-0.3324900, 1.3684059, 0.0900166, 0.4165791, 0.0963524],
    "logits": [0.414506, 0.416180, 0.018066, 0.998051],
    "r1": [0.00131616, 0.00111797, 0.00163143, 0.000590476],
    "lengths": [1.03985, 0.774653, 1.27110, 1.63694],
    "parameters": (375480, 366945),
}
LABELLED = {
    "w": [0.4700709, 0.9039837, 0.9266479, 0.9874877, -0.1811949],
    "image": [-0.6671127, 1.1659392, -0.8858078, -0.6639839, 0.1117846],
    "truncated": [-0.3386813, 1.0068941, -0.7732408, -0.4831827, 0.1682102],
    "noiseless": [-0.6143587, 1.1082616, -0.5857805, -0.3147785, -0.2638327],
    "logits": [-0.824040, -0.643461, -0.004336, -1.349695],
    "r1": [0.000516637, 0.000356501, 0.000180672, 0.000540202],
    "lengths": [0.835766, 0.741899, 0.993343, 1.29018],
    "parameters": (355000, 404704),
}
CASES = [(32, 1024, 2, 0, PLAIN), (64, 2048, 8, 0, DEEP), (64, 2048, 2, 5, LABELLED)]


@pytest.fixture(params=CASES, ids=["32px", "64px deep mapping", "64px with labels"])
def case(request):
    resolution, channel_base, mapping_layers, label_dim, expected = request.param
    spec = NetworkSpec(
        resolution=resolution,
        channel_base=channel_base,
        channel_max=64,
        z_dim=64,
        w_dim=64,
        mapping_layers=mapping_layers,
        label_dim=label_dim,
    )
    G, D = Generator(spec), Discriminator(spec)
    fill(G)
    fill(D)
    z = torch.from_numpy(np.random.RandomState(0).randn(4, 64)).float()
    label = torch.eye(5)[torch.arange(4) % 5] if label_dim else None
    return G, D, z, label, expected


def test_the_generator_draws_the_published_images(case):
    G, _, z, label, expected = case
    with torch.no_grad():
        assert statistics(G.spread(G.mapping(z, label))) == pytest.approx(expected["w"], abs=2e-5)
        assert statistics(G(z, label)) == pytest.approx(expected["image"], abs=2e-5)
        assert statistics(G(z, label, psi=0.7)) == pytest.approx(expected["truncated"], abs=2e-5)
        assert statistics(G(z, label, noise="none")) == pytest.approx(expected["noiseless"], abs=2e-5)


def test_the_discriminator_gives_the_published_logits_and_r1(case):
    G, D, z, label, expected = case
    with torch.no_grad():
        image = G(z, label)
    assert D(image, label).flatten().tolist() == pytest.approx(expected["logits"], abs=1e-5)
    penalty = losses.r1_penalty(lambda x: D(x, label), image)
    assert penalty.tolist() == pytest.approx(expected["r1"], rel=3e-4)


def test_path_lengths_are_the_published_ones(case):
    G, _, z, label, expected = case
    ws = G.spread(G.mapping(z, label)).detach().requires_grad_()
    size = G.spec.resolution
    direction = torch.from_numpy(np.random.RandomState(1).randn(4, 3, size, size)).float()
    lengths = losses.path_lengths(G.synthesis(ws), ws, direction)
    assert lengths.tolist() == pytest.approx(expected["lengths"], rel=3e-4)


def test_networks_have_the_published_number_of_parameters(case):
    G, D, _, _, expected = case
    assert tuple(sum(p.numel() for p in network.parameters()) for network in (G, D)) == expected["parameters"]
