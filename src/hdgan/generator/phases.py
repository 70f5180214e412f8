"""One training step: the generator's loss and path penalty, the discriminator's loss and R1 (arXiv 2006.06676).

Every draw is a function of (seed, step, phase, place in the pass), whichever process makes it (`shares`). Letters: N images of
a pass in this process, B of the batch in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hdgan.errors import Diverged
from hdgan.generator import accumulate, augment, losses
from hdgan.generator.augment_draws import RandomChance, draw
from hdgan.generator.augment_sets import SETS
from hdgan.generator.freeze import set_trainable
from hdgan.generator.noise import fresh_maps
from hdgan.generator.settings import TrainSettings
from hdgan.generator.shares import Pass, passes, path_passes
from hdgan.generator.state import TrainingState
from hdgan.training import ema, seeds
from hdgan.training.devices import convolutions_in_float32

_PATH_MEAN_STEP = 0.01


def train_step(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """One step on a batch of images: all phases due, the average, the augmentation's chance, the counters.

    `real [B / processes, C, R, R]` are this process's images, pass by pass (`shares.places`), in -1 to 1; or uint8, a quarter of the
    memory, turned into numbers pass by pass. `labels [B, L]` are the conditions of
    all real images, in every process; generated ones are given the same, so their shares are those of the tiles.

    Raises:
        Diverged: a gradient is not finite, in whichever process; nothing of that phase was applied in any.
    """
    if len(real) * state.group.world != settings.batch:
        raise ValueError(f"{len(real)} real images for a batch of {settings.batch} in {state.group.world} processes")
    _set_rate(state, settings)
    with convolutions_in_float32(is_rounded=settings.allow_tf32):
        fakes = _generator_phase(state, settings, labels)
        if settings.path_weight and state.num_steps % settings.path_interval == 0:
            _path_phase(state, settings, labels)
        _discriminator_phase(state, real, fakes, settings, labels)
        if settings.gamma and settings.r1_interval and state.num_steps % settings.r1_interval == 0:
            _r1_phase(state, real, settings, labels)
    _agree(state)
    state.num_images += settings.batch
    state.num_steps += 1
    _update_average(state, settings)
    _adjust_augmentation(state, settings)


def _generator_phase(state: TrainingState, settings: TrainSettings, labels: Tensor | None = None) -> list[Tensor]:
    """Steps G on the non-saturating loss; the images it drew, where the discriminator is to see them again."""
    state.D.requires_grad_(False)
    fakes: list[Tensor] = []

    def see(part: Pass) -> Tensor:
        is_first = not torch.is_grad_enabled()  # of the two runs of each pass
        _reseed(state, settings, "main", part)
        image = _draw_images(state, part, settings, "G", labels=part.of(labels), is_tracked=is_first)
        if is_first and settings.reuses_fakes:
            fakes.append(image.detach())
        return state.calls.features(_augmented(image, state, settings, "G", part))

    parts = passes(settings, state.D.spec, state.group)
    if settings.spans_passes(group=state.D.spec.minibatch_std_group):
        given = _together(parts, labels)
        runs = [partial(see, part) for part in parts]
        state.report["loss_G"] = float(accumulate.backward(runs, lambda features: losses.generator_loss(state.D.judge(features, given))))
    else:
        for part in parts:
            _reseed(state, settings, "main", part)
            image = _draw_images(state, part, settings, "G", labels=part.of(labels))
            features = state.calls.features(_augmented(image, state, settings, "G", part))
            loss = losses.generator_loss(state.D.judge(features, part.of(labels)))
            (loss * part.weight).backward()  # type: ignore[no-untyped-call]
            if settings.reuses_fakes:
                fakes.append(image.detach())
            _report(state, "loss_G", loss, part)
    set_trainable(state.D, num_frozen=settings.freeze_d)
    _apply(state.G, state.G_optimiser, state)
    return fakes


def _path_phase(state: TrainingState, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """Steps G towards latents whose small changes move all images by equal lengths."""
    for part in path_passes(settings, state.D.spec, state.group):
        _reseed(state, settings, "path", part)
        ws = _draw_latents(state, part, settings, "P", labels=part.of(labels))
        noise = fresh_maps(state.G.synthesis, part.total, share=part.mine)
        spec = state.G.spec
        direction = torch.randn(part.total, spec.image_channels, spec.resolution, spec.resolution, device=ws.device)[part.mine]
        lengths = losses.lengths(state.calls.latent_gradient(ws, noise, losses.scaled(direction)))
        mean = state.path_mean.lerp(_mean_of_all(state, lengths), _PATH_MEAN_STEP)
        state.path_mean = mean.detach()
        penalty = (lengths - mean.detach()).square().mean() * settings.path_weight * settings.path_interval
        (penalty * part.weight).backward()  # type: ignore[no-untyped-call]
        _report(state, "path_length", lengths.mean(), part)
    _apply(state.G, state.G_optimiser, state)


def _discriminator_phase(
    state: TrainingState, real: Tensor, fakes: list[Tensor], settings: TrainSettings, labels: Tensor | None = None
) -> None:
    """Steps D on the logistic loss."""
    if settings.spans_passes(group=state.D.spec.minibatch_std_group):
        signs = _discriminate_spanning(state, real, fakes, settings, labels)
    else:
        signs = 0.0
        for part in passes(settings, state.D.spec, state.group):
            given = part.of(labels)
            _reseed(state, settings, "discriminate", part)
            if settings.reuses_fakes:
                fake = fakes[part.number]
            else:
                with torch.no_grad():
                    fake = _draw_images(state, part, settings, "D", labels=given)
            seen = _augmented(_images(real, part), state, settings, "R", part), _augmented(fake, state, settings, "F", part)
            real_logits, fake_logits = (state.D.judge(features, given) for features in state.calls.features_of_both(*seen))
            loss = losses.discriminator_loss(real_logits, fake_logits)
            (loss * part.weight).backward()  # type: ignore[no-untyped-call]
            signs += float(real_logits.detach().sign().sum())
            _report(state, "loss_D", loss, part)
    state.sign_sum += state.group.means([signs])[0] * state.group.world
    state.sign_count += settings.batch
    _apply(state.D, state.D_optimiser, state)


def _discriminate_spanning(
    state: TrainingState, real: Tensor, fakes: list[Tensor], settings: TrainSettings, labels: Tensor | None
) -> float:
    """The gradients of the logistic loss where the images of a group lie in several passes; the sum of the signs of the real logits."""
    parts, signs = passes(settings, state.D.spec, state.group), 0.0
    given = _together(parts, labels)

    def see_real(part: Pass) -> Tensor:
        return state.calls.features(_augmented(_images(real, part), state, settings, "R", part))

    def see_fake(part: Pass) -> Tensor:
        is_first = not torch.is_grad_enabled()
        _reseed(state, settings, "discriminate", part)
        with torch.no_grad():
            fake = (
                fakes[part.number]
                if settings.reuses_fakes
                else _draw_images(state, part, settings, "D", labels=part.of(labels), is_tracked=is_first)
            )
        return state.calls.features(_augmented(fake, state, settings, "F", part))

    def judge(features: Tensor) -> Tensor:
        nonlocal signs
        real_logits, fake_logits = (state.D.judge(half, given) for half in features.chunk(2))
        signs += float(real_logits.detach().sign().sum())
        return losses.discriminator_loss(real_logits, fake_logits)

    runs = [partial(see, part) for see in (see_real, see_fake) for part in parts]
    state.report["loss_D"] = float(accumulate.backward(runs, judge))
    return signs


def _r1_phase(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """Steps D towards a small gradient at real images."""
    weight = settings.gamma / 2 * settings.r1_interval
    parts = passes(settings, state.D.spec, state.group)
    if settings.spans_passes(group=state.D.spec.minibatch_std_group):
        given = _together(parts, labels)

        def see(number: int, x: Tensor) -> Tensor:
            return state.D.features(_augmented(x, state, settings, "1", parts[number]))

        images = [_images(real, part) for part in parts]
        penalties = accumulate.r1_backward(images, see, lambda features: state.D.judge(features, given), weight=weight)
        state.report["r1"] = float(penalties.mean())
    else:
        for part in parts:
            _reseed(state, settings, "r1", part)
            augmented = partial(_augmented, state=state, settings=settings, name="1", part=part)

            def gradient_at(seen: Tensor, part: Pass = part) -> Tensor:
                return state.calls.image_gradient(seen, part.of(labels))

            penalty = losses.r1_penalty_through(augmented, gradient_at, _images(real, part)).mean()
            (penalty * (weight * part.weight)).backward()  # type: ignore[no-untyped-call]
            _report(state, "r1", penalty, part)
    _apply(state.D, state.D_optimiser, state)


def _images(real: Tensor, part: Pass) -> Tensor:
    """The real images of a pass in -1 to 1, in the memory order that convolutions are fastest with."""
    images = real[part.here]
    if images.dtype != torch.uint8:
        return images
    return images.float().div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)


def _report(state: TrainingState, name: str, value: Tensor, part: Pass) -> None:
    """Adds a pass's share to what the step reports under `name`; the first pass begins anew."""
    so_far = 0.0 if part.number == 0 else state.report[name]
    state.report[name] = so_far + part.weight * float(value.detach())


def _together(parts: Sequence[Pass], labels: Tensor | None) -> Tensor | None:
    """The labels of this process's images, pass by pass."""
    return None if labels is None else torch.cat([given for part in parts if (given := part.of(labels)) is not None])


def _mean_of_all(state: TrainingState, values: Tensor) -> Tensor:
    """The mean of `values` over all processes, without a gradient."""
    mean = values.detach().mean()
    state.group.average_([mean])
    return mean


def _reseed(state: TrainingState, settings: TrainSettings, phase: str, part: Pass) -> None:
    """Sets the global state that noise is drawn from."""
    seeds.reseed(settings.seed, f"generator.{phase}{part.number}", state.num_steps)


def _draw_latents(
    state: TrainingState, part: Pass, settings: TrainSettings, name: str, *, labels: Tensor | None = None, is_tracked: bool = True
) -> Tensor:
    """ws `[N, L, D]` of this process's images, some of them mixed from two latents of one label (arXiv 1812.04948, section 3.1)."""
    generator = seeds.torch_stream(settings.seed, f"generator.z.{name}{part.number}", state.num_steps)
    z = torch.randn(2, part.total, state.G.spec.z_dim, generator=generator)[:, part.mine].to(state.path_mean.device)
    w = state.G.mapping(z[0], labels)
    if is_tracked:
        state.G.mapping.track(w)
    ws = state.G.spread(w)
    if settings.mixing and float(torch.rand(1, generator=generator)) < settings.mixing:
        cut = int(torch.randint(1, state.G.spec.num_ws, (1,), generator=generator))
        ws = torch.cat((ws[:, :cut], state.G.spread(state.G.mapping(z[1], labels))[:, cut:]), dim=1)
    return ws


def _draw_images(
    state: TrainingState, part: Pass, settings: TrainSettings, name: str, *, labels: Tensor | None = None, is_tracked: bool = True
) -> Tensor:
    ws = _draw_latents(state, part, settings, name, labels=labels, is_tracked=is_tracked)
    return state.calls.synthesis(ws, fresh_maps(state.G.synthesis, part.total, share=part.mine))


def _augmented(images: Tensor, state: TrainingState, settings: TrainSettings, name: str, part: Pass) -> Tensor:
    operations = SETS[settings.augment]
    if not operations or state.ada_p <= 0:
        return images
    generator = seeds.torch_stream(settings.seed, f"generator.augment.{name}{part.number}", state.num_steps)
    chance = RandomChance(part.total, generator)
    draws = draw(chance, operations=operations, p=state.ada_p, height=images.shape[2], width=images.shape[3])
    return augment.apply(images, draws.of(part.mine), noise=generator, total=part.total, share=part.mine)


def _apply(network: nn.Module, optimiser: torch.optim.Adam, state: TrainingState) -> None:
    """Takes the optimiser's step and forgets the gradients, unless a gradient is not finite."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    state.group.average_(gradients)
    largest = nn.utils.get_total_norm(gradients, norm_type=math.inf)
    if not bool(torch.isfinite(largest)):
        which = [name for name, p in network.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
        optimiser.zero_grad(set_to_none=True)
        raise Diverged(
            f"gradients are not finite at image {state.num_images} ({type(network).__name__} {', '.join(which[:3])}); the last state is kept"
        )
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _set_rate(state: TrainingState, settings: TrainSettings) -> None:
    """Gives both optimisers the step of this moment."""
    factor = settings.step_share(state.num_images)
    for optimiser in (state.G_optimiser, state.D_optimiser):
        for group in optimiser.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * factor


def _agree(state: TrainingState) -> None:
    """Gives all processes the mean latent and the losses of all; their weights are equal already.

    Each moved the mean latent by its own latents; the moves are linear, so their mean is the whole batch's.
    """
    state.group.average_([state.G.mapping.w_avg])
    state.report = dict(zip(state.report, state.group.means(list(state.report.values())), strict=True))


def _update_average(state: TrainingState, settings: TrainSettings) -> None:
    half_life = settings.ema_kimg * 1000
    if settings.ema_rampup is not None:
        half_life = min(half_life, state.num_images * settings.ema_rampup)
    ema.update(state.G_average, state.G, beta=ema.decay(batch=settings.batch, half_life_images=half_life))


def _adjust_augmentation(state: TrainingState, settings: TrainSettings) -> None:
    """Moves the chance of augmentation by the sign of the discriminator's confidence on real images."""
    if state.num_steps % settings.ada_interval:
        return
    mean_sign = state.sign_sum / max(state.sign_count, 1)
    if settings.is_adaptive:
        assert settings.ada_target is not None
        direction = math.copysign(1.0, mean_sign - settings.ada_target) if mean_sign != settings.ada_target else 0.0
        step = state.sign_count / (settings.ada_kimg * 1000)
        state.ada_p = min(max(state.ada_p + direction * step, 0.0), settings.ada_p_max)
    state.report["real_sign"] = mean_sign
    state.sign_sum, state.sign_count = 0.0, 0
