from __future__ import annotations

import pytest
import torch

from hdgan.classifier.mlp import PixelMlp

SHAPES = [((), "batch", "relu-norm"), ((12,), "batch", "relu-norm"), ((12, 6), "batch", "norm-relu"), ((12, 6, 5), "none", "relu-norm")]


def trained_like(hidden, norm, order, num_in=7) -> PixelMlp:
    torch.manual_seed(3)
    model = PixelMlp(num_in, 4, hidden=hidden, dropout=0.4, norm=norm, order=order)
    for layer in model.norms:
        torch.nn.init.uniform_(layer.weight, -1.0, 2.0)
        torch.nn.init.normal_(layer.bias)
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.2, 3.0)
    return model.eval()


@pytest.mark.parametrize(("hidden", "norm", "order"), SHAPES)
def test_the_affine_layers_are_the_network_as_it_predicts(hidden, norm, order):
    model, x = trained_like(hidden, norm, order), torch.randn(50, 7)
    found = x.double()
    *before, last = model.affine_layers()
    for weight, bias in before:
        found = (found @ weight.t() + bias).relu()
    found = found @ last[0].t() + last[1]
    assert len(before) == len(hidden)
    torch.testing.assert_close(found.float(), model(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("hidden", "norm", "order"), SHAPES)
def test_a_classifier_of_components_becomes_one_of_all_features(hidden, norm, order):
    model, x, projection = trained_like(hidden, norm, order), torch.randn(50, 30), torch.randn(30, 7)
    whole = model.behind(projection)
    assert whole.linears[0].weight.shape[1] == 30
    torch.testing.assert_close(whole(x), model(x @ projection), rtol=1e-4, atol=1e-4)


def test_each_hidden_layer_can_have_its_own_dropout():
    model = PixelMlp(7, 4, hidden=(12, 6), dropout=(0.5, 0.0))
    assert [dropout.p for dropout in model.dropouts] == [0.5, 0.0]
    x = torch.randn(50, 7)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    with pytest.raises(ValueError, match="zip"):
        PixelMlp(7, 4, hidden=(12, 6), dropout=(0.5,))


def test_logits_are_shifted_for_good():
    model, x = trained_like(*SHAPES[1]), torch.randn(9, 7)
    before, by = model(x).detach(), torch.tensor([0.0, 1.0, -2.0, 0.5])
    model.shift_logits(by)
    torch.testing.assert_close(model(x).detach(), before + by)
