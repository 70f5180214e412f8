"""A decoder that nobody of ours wrote, from latents to labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import Ensemble, label_image
from hdgan.classifier.member import new_model
from hdgan.classifier.pixels import AnnotatedImages
from hdgan.classifier.stage import fit_ensemble
from hdgan.errors import BadConfig, BadInput
from hdgan.features.adapter import Adapted, Layer
from hdgan.features.bank import FeatureBank
from hdgan.features.config import FeaturesConfig
from hdgan.features.moments import Standardiser
from hdgan.features.stage import fill_features
from hdgan.labels import ClassMap, LabelClass
from hdgan.samples.config import SamplesConfig
from hdgan.samples.stage import fill_bank
from hdgan.store.atomic import write_json, write_png
from hdgan.store.stage import open_stage
from hdgan.training import seeds

CLASSES = ClassMap((LabelClass("dark", "#202020"), LabelClass("bright", "#f0e0a0")))


class Up(nn.Module):
    """A foreign block: it knows nothing of taps, and gives a tuple."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> tuple[Tensor, float]:
        return self.act(2 * self.conv(F.interpolate(x, scale_factor=2))), 1.0


class Foreign(nn.Module):
    """z to an image of 32 px by linear layer and three blocks; drawn with a margin of 4 px, as some networks do, and cropped."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(12, 12 * 25)
        self.ups = nn.ModuleList([Up(12, 12), Up(12, 8), Up(8, 8)])
        self.unused = nn.Conv2d(8, 8, 1)
        self.flat = nn.Flatten()
        self.soft = nn.ReLU(inplace=True)
        self.paint = nn.Conv2d(8, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z).view(-1, 12, 5, 5)
        for up in self.ups:
            x, _ = up(x)
        self.flat(x)
        return torch.tanh(2 * self.paint(self.soft(x * 1.0)))[:, :, 4:-4, 4:-4]


class Plain:
    """The three methods that the adapter asks for."""

    z_dim = 12

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def module(self) -> nn.Module:
        return self.network

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        return psi * z

    def draw(self, w: Tensor) -> Tensor:
        return self.network(w)


LAYERS = (Layer("ups.2", margin=4), Layer("ups.0", margin=1), Layer("ups.1.conv", margin=2), Layer("ups.1.act", margin=2))


def adapted(layers=LAYERS, *, seed: int = 0) -> Adapted:
    seeds.reseed(seed, "foreign")
    return Adapted(Plain(Foreign()), layers, mpp=3.0)


def test_channels_and_resolutions_are_found_by_drawing_and_blocks_count_from_the_finest():
    generator = adapted()
    assert (generator.resolution, generator.z_dim, generator.w_dim) == (32, 12, 12)
    found = [(tap.name, tap.channels, tap.resolution) for tap in generator.taps(3)]
    assert found == [("ups.0", 12, 8), ("ups.1.conv", 8, 16), ("ups.1.act", 8, 16), ("ups.2", 8, 32)]
    assert generator.taps(2) == generator.taps(3)[1:]
    assert generator.taps(1) == generator.taps(3)[3:]
    with pytest.raises(BadConfig, match="have 3 resolutions"):
        generator.taps(4)


def test_maps_are_what_the_layers_gave_and_the_network_is_as_it_was():
    generator = adapted()
    network, w = generator._decoder.module(), torch.randn(2, 12)
    image, maps = generator.render_taps(w, num_blocks=3)
    assert torch.equal(image, network(w))
    assert torch.equal(generator.render(w), image)
    assert torch.equal(torch.tanh(2 * maps[1]), maps[2])
    x = network.ups[0](network.start(w).view(-1, 12, 5, 5))[0]
    assert torch.equal(maps[0], x[:, :, 1:-1, 1:-1])
    assert not any(layer._forward_hooks for layer in network.modules())
    assert not network.training


def test_another_weight_is_another_generator():
    assert adapted().content_hash == adapted().content_hash != adapted(seed=1).content_hash


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer("ups.7"), "there is no layer 'ups.7'; paths begin with one of start, ups, unused"),
        (Layer("unused"), "unused does not run"),
        (Layer("start"), r"start gives a tensor of shape \(1, 300\)"),
        (Layer("flat"), "a square map"),
        (Layer("ups.0", margin=5), "a square map"),
    ],
)
def test_a_layer_that_gives_no_map_is_refused_by_name(layer, message):
    with pytest.raises(BadConfig, match=message):
        adapted([layer])


def test_a_map_that_the_next_layer_writes_over_is_refused():
    class Overwriting(Foreign):
        def forward(self, z: Tensor) -> Tensor:
            x = self.start(z).view(-1, 12, 5, 5)
            for up in self.ups:
                x, _ = up(x)
            return self.paint(self.soft(x))

    with pytest.raises(BadConfig, match=r"ups\.2\.act gives is written over by the layer after it; name that layer"):
        Adapted(Plain(Overwriting()), [Layer("ups.2.act")], mpp=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    """Samples of a foreign generator and masks: bright or dark after smoothing."""
    root = tmp_path_factory.mktemp("foreign")
    generator = adapted()
    with open_stage(root / "samples", stage="samples", config={}, seed=0, inputs={}) as stage:
        bank = fill_bank(generator, SamplesConfig(num=16, psi=1.0, shortlist=4), out=stage.path, seed=0)
        stage.seal(counts={})
    for row in bank.rows:
        smooth = ndimage.gaussian_filter(bank.image(row.index).astype(float).mean(axis=2), 1.5)
        write_png(root / "masks" / f"{row.name}.png", (smooth > np.median(smooth)).astype(np.uint8))
    write_json(root / "masks" / "classes.json", CLASSES.to_json())
    config = AnnotationsConfig(train=10, validate=2, test=4, class_map=root / "masks" / "classes.json")
    run_annotations(config, samples=root / "samples", masks=root / "masks", out=root / "annotations", seed=0)
    return SimpleNamespace(generator=generator, bank=bank, annotated=AnnotationSet(root / "annotations"), samples=root / "samples")


@pytest.mark.parametrize("source", ["native", "recompute", "upsampled"])
def test_a_foreign_generator_is_annotated_fitted_and_labels_new_images(run, tmp_path, source):
    config = FeaturesConfig(num_blocks=3, image=False)
    counts = fill_features(run.generator, run.bank, run.annotated, config, source=source, out=tmp_path)
    assert counts["recheck"] == {"identical": 16}
    features = FeatureBank(tmp_path, generator=run.generator, samples=run.samples)
    assert features.facts.um_per_coarsest_cell == 3.0 * 32 / 8
    train, validate = (AnnotatedImages(features, run.annotated, run.annotated.split[part]) for part in ("train", "validate"))
    facts = {"num_blocks": 3, "generator_hash": features.generator_hash, "annotator": "rule"}
    settings = ClassifierConfig(hidden=(24, 8), members=1, epochs=15, batch_pixels=256, pixels_per_image=1024, lr=5e-3)
    ensemble, _ = fit_ensemble(train, validate, settings, classes=CLASSES, taps=features.taps, facts=facts, seed=0)
    right = []
    for name in run.annotated.split["test"]:
        w = torch.from_numpy(run.bank.latent(run.bank.by_name(name).index))[None]
        image, prediction = label_image(ensemble, run.generator, w)
        assert np.array_equal(image, run.bank.image(run.bank.by_name(name).index))
        right.append((prediction.mask == run.annotated.mask(name)).mean())
    assert np.mean(right) > 0.85, right
    assert isinstance(ensemble, Ensemble)
    with pytest.raises(BadInput, match="another generator"):
        label_image(ensemble, adapted(seed=1), w)


OTHERS = (
    (LAYERS[:1] + LAYERS[2:], r"have 2 resolutions"),
    ((LAYERS[0], LAYERS[1], LAYERS[3], LAYERS[2]), r"ups\.1\.conv of 8 channels at 16 px, now ups\.1\.act of 8 channels at 16 px"),
    (
        (LAYERS[0], LAYERS[1], Layer("ups.1.conv", margin=3), LAYERS[3]),
        r"ups\.0 of 12 channels at 8 px, now ups\.1\.conv of 8 channels at 14 px",
    ),
    ((LAYERS[1], LAYERS[0], Layer("ups.2.act", margin=4), *LAYERS[2:]), r"now ups\.2\.act of 8 channels at 32 px"),
)


@pytest.fixture(scope="module")
def recomputed(run, tmp_path_factory):
    """Features of `run` and of the image's colours, to be drawn again."""
    out = tmp_path_factory.mktemp("recomputed")
    fill_features(run.generator, run.bank, run.annotated, FeaturesConfig(num_blocks=3, image=True), source="recompute", out=out)
    return out


@pytest.mark.parametrize(("layers", "message"), OTHERS)
def test_other_layers_of_the_same_network_are_refused_in_place_of_those_that_it_was_made_of(run, recomputed, layers, message):
    other, name = adapted(layers), run.annotated.names[0]
    assert other.content_hash == run.generator.content_hash
    with pytest.raises(BadInput, match=f"was made from other layers of the generator .*{message}"):
        FeatureBank(recomputed, generator=other, samples=run.samples).maps(name)
    features = FeatureBank(recomputed, generator=run.generator, samples=run.samples)
    num = features.num_channels
    assert [m.shape[0] for m in features.maps(name)] == [tap.channels for tap in features.taps]
    members, same = [new_model(ClassifierConfig(hidden=(4,)), num_in=num, num_classes=2)], Standardiser(torch.zeros(num), torch.ones(num))
    facts = {"num_blocks": 3, "generator_hash": run.generator.content_hash, "annotator": "rule"}
    ensemble = Ensemble(members, standardiser=same, classes=CLASSES, taps=features.taps, facts=facts)
    assert label_image(ensemble, run.generator, torch.zeros(1, 12))[1].mask.shape == (32, 32)
    with pytest.raises(BadInput, match=f"classifier: was made from other layers of the generator .*{message}"):
        label_image(ensemble, other, torch.zeros(1, 12))
