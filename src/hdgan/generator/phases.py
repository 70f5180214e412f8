"""One training step: the generator's loss and path penalty, the discriminator's loss and R1 (arXiv 2006.06676).

Every draw is a function of (seed, step, phase). Letters: N images of a pass, B of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from hdgan.errors import Diverged
from hdgan.generator import accumulate, augment, losses
from hdgan.generator.augment_draws import SETS, RandomChance, draw
from hdgan.generator.freeze import set_trainable
from hdgan.generator.settings import TrainSettings
from hdgan.generator.state import TrainingState
from hdgan.training import ema, seeds

_PATH_MEAN_STEP = 0.01


def train_step(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """One step on `real [B, C, R, R]` in -1 to 1: all phases due, the average, the augmentation's chance, the counters.

    `labels [B, L]` are the conditions of the real images; generated ones are given the same, so their shares are those of the tiles.

    Raises:
        Diverged: a gradient is not finite; nothing of that phase was applied.
    """
    _set_rate(state, settings)
    fakes = _generator_phase(state, real, settings, labels)
    if settings.path_weight and state.num_steps % settings.path_interval == 0:
        _path_phase(state, real, settings, labels)
    _discriminator_phase(state, real, fakes, settings, labels)
    if settings.gamma and settings.r1_interval and state.num_steps % settings.r1_interval == 0:
        _r1_phase(state, real, settings, labels)
    state.num_images += settings.batch
    state.num_steps += 1
    _update_average(state, settings)
    _adjust_augmentation(state, settings)


def _generator_phase(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> list[Tensor]:
    """Steps G on the non-saturating loss; the images it drew, where the discriminator is to see them again."""
    state.D.requires_grad_(False)
    fakes: list[Tensor] = []

    def see(part: int, num: int) -> Tensor:
        is_first = not torch.is_grad_enabled()  # of the two runs of each pass
        _reseed(state, settings, "main", part)
        image = _draw_images(state, num, settings, f"G{part}", labels=_part(labels, part, num), is_tracked=is_first)
        if is_first and settings.reuses_fakes:
            fakes.append(image.detach())
        return state.D.features(_augmented(image, state, settings, f"G{part}"))

    if settings.spans_passes(group=state.D.spec.minibatch_std_group):
        passes = [partial(see, part, num) for part, num, _ in _passes(real, settings)]
        loss = accumulate.backward(passes, lambda features: losses.generator_loss(state.D.judge(features, labels)))
        state.report["loss_G"] = float(loss)
    else:
        for part, num, share in _passes(real, settings):
            _reseed(state, settings, "main", part)
            image = _draw_images(state, num, settings, f"G{part}", labels=_part(labels, part, num))
            loss = losses.generator_loss(state.D(_augmented(image, state, settings, f"G{part}"), _part(labels, part, num)))
            (loss * share).backward()  # type: ignore[no-untyped-call]
            if settings.reuses_fakes:
                fakes.append(image.detach())
            state.report["loss_G"] = float(loss.detach())
    set_trainable(state.D, num_frozen=settings.freeze_d)
    _apply(state.G, state.G_optimiser, state)
    return fakes


def _path_phase(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """Steps G towards latents whose small changes move all images by equal lengths."""
    for part, num, share in _passes(real, settings):
        _reseed(state, settings, "path", part)
        half = max(num // 2, 1)
        given = _part(labels, part, num)
        ws = _draw_latents(state, half, settings, f"P{part}", labels=None if given is None else given[:half])
        image = state.G.synthesis(ws, noise="random")
        lengths = losses.path_lengths(image, ws, torch.randn_like(image))
        mean = state.path_mean.lerp(lengths.mean(), _PATH_MEAN_STEP)
        state.path_mean = mean.detach()
        penalty = (lengths - mean.detach()).square().mean() * settings.path_weight * settings.path_interval
        (penalty * share).backward()  # type: ignore[no-untyped-call]
        state.report["path_length"] = float(lengths.detach().mean())
    _apply(state.G, state.G_optimiser, state)


def _discriminator_phase(
    state: TrainingState, real: Tensor, fakes: list[Tensor], settings: TrainSettings, labels: Tensor | None = None
) -> None:
    """Steps D on the logistic loss."""
    if settings.spans_passes(group=state.D.spec.minibatch_std_group):
        _discriminate_spanning(state, real, fakes, settings, labels)
    else:
        for part, num, share in _passes(real, settings):
            given = _part(labels, part, num)
            _reseed(state, settings, "discriminate", part)
            if settings.reuses_fakes:
                fake = fakes[part]
            else:
                with torch.no_grad():
                    fake = _draw_images(state, num, settings, f"D{part}", labels=given)
            real_logits = state.D(_augmented(real[part * num : (part + 1) * num], state, settings, f"R{part}"), given)
            fake_logits = state.D(_augmented(fake, state, settings, f"F{part}"), given)
            loss = losses.discriminator_loss(real_logits, fake_logits)
            (loss * share).backward()  # type: ignore[no-untyped-call]
            state.sign_sum += float(real_logits.detach().sign().sum())
            state.sign_count += num
            state.report["loss_D"] = float(loss.detach())
    _apply(state.D, state.D_optimiser, state)


def _discriminate_spanning(state: TrainingState, real: Tensor, fakes: list[Tensor], settings: TrainSettings, labels: Tensor | None) -> None:
    """The gradients of the logistic loss where the images of a group lie in several passes."""

    def see_real(part: int, num: int) -> Tensor:
        return state.D.features(_augmented(real[part * num : (part + 1) * num], state, settings, f"R{part}"))

    def see_fake(part: int, num: int) -> Tensor:
        is_first = not torch.is_grad_enabled()
        _reseed(state, settings, "discriminate", part)
        with torch.no_grad():
            fake = (
                fakes[part]
                if settings.reuses_fakes
                else _draw_images(state, num, settings, f"D{part}", labels=_part(labels, part, num), is_tracked=is_first)
            )
        return state.D.features(_augmented(fake, state, settings, f"F{part}"))

    def judge(features: Tensor) -> Tensor:
        real_logits, fake_logits = (state.D.judge(half, labels) for half in features.chunk(2))
        state.sign_sum += float(real_logits.detach().sign().sum())
        state.sign_count += len(real_logits)
        return losses.discriminator_loss(real_logits, fake_logits)

    passes = [partial(see, part, num) for see in (see_real, see_fake) for part, num, _ in _passes(real, settings)]
    state.report["loss_D"] = float(accumulate.backward(passes, judge))


def _r1_phase(state: TrainingState, real: Tensor, settings: TrainSettings, labels: Tensor | None = None) -> None:
    """Steps D towards a small gradient at real images."""
    weight = settings.gamma / 2 * settings.r1_interval
    if settings.spans_passes(group=state.D.spec.minibatch_std_group):

        def see(part: int, x: Tensor) -> Tensor:
            return state.D.features(_augmented(x, state, settings, f"1{part}"))

        parts = torch.split(real, settings.microbatch or settings.batch)
        penalties = accumulate.r1_backward(parts, see, lambda features: state.D.judge(features, labels), weight=weight)
        state.report["r1"] = float(penalties.mean())
    else:
        for part, num, share in _passes(real, settings):
            _reseed(state, settings, "r1", part)

            def discriminate(x: Tensor, part: int = part, num: int = num) -> Tensor:
                return state.D(_augmented(x, state, settings, f"1{part}"), _part(labels, part, num))  # type: ignore[no-any-return]

            penalty = losses.r1_penalty(discriminate, real[part * num : (part + 1) * num]).mean()
            (penalty * (weight * share)).backward()  # type: ignore[no-untyped-call]
            state.report["r1"] = float(penalty.detach())
    _apply(state.D, state.D_optimiser, state)


def _part(labels: Tensor | None, part: int, num: int) -> Tensor | None:
    """The labels of pass number `part`."""
    return None if labels is None else labels[part * num : (part + 1) * num]


def _passes(real: Tensor, settings: TrainSettings) -> Iterator[tuple[int, int, float]]:
    """Number, size and share of the batch of each pass of gradient accumulation."""
    num = settings.microbatch or settings.batch
    if len(real) != settings.batch:
        raise ValueError(f"{len(real)} real images for a batch of {settings.batch}")
    for part in range(settings.batch // num):
        yield part, num, num / settings.batch


def _reseed(state: TrainingState, settings: TrainSettings, phase: str, part: int) -> None:
    """Sets the global state that noise inputs inside the layers draw from."""
    seeds.reseed(settings.seed, f"generator.{phase}{part}", state.num_steps)


def _draw_latents(
    state: TrainingState, num: int, settings: TrainSettings, name: str, *, labels: Tensor | None = None, is_tracked: bool = True
) -> Tensor:
    """ws `[N, L, D]`, some of them mixed from two latents of one label (arXiv 1812.04948, section 3.1)."""
    generator = seeds.torch_stream(settings.seed, f"generator.z.{name}", state.num_steps)
    z = torch.randn(2, num, state.G.spec.z_dim, generator=generator).to(state.path_mean.device)
    w = state.G.mapping(z[0], labels)
    if is_tracked:
        state.G.mapping.track(w)
    ws = state.G.spread(w)
    if settings.mixing and float(torch.rand(1, generator=generator)) < settings.mixing:
        cut = int(torch.randint(1, state.G.spec.num_ws, (1,), generator=generator))
        ws = torch.cat((ws[:, :cut], state.G.spread(state.G.mapping(z[1], labels))[:, cut:]), dim=1)
    return ws


def _draw_images(
    state: TrainingState, num: int, settings: TrainSettings, name: str, *, labels: Tensor | None = None, is_tracked: bool = True
) -> Tensor:
    ws = _draw_latents(state, num, settings, name, labels=labels, is_tracked=is_tracked)
    return state.G.synthesis(ws, noise="random")  # type: ignore[no-any-return]


def _augmented(images: Tensor, state: TrainingState, settings: TrainSettings, name: str) -> Tensor:
    operations = SETS[settings.augment]
    if not operations or state.ada_p <= 0:
        return images
    generator = seeds.torch_stream(settings.seed, f"generator.augment.{name}", state.num_steps)
    chance = RandomChance(len(images), generator)
    draws = draw(chance, operations=operations, p=state.ada_p, height=images.shape[2], width=images.shape[3])
    return augment.apply(images, draws, noise=generator)


def _apply(network: nn.Module, optimiser: torch.optim.Adam, state: TrainingState) -> None:
    """Takes the optimiser's step and forgets the gradients, unless a gradient is not finite."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    largest = nn.utils.get_total_norm(gradients, norm_type=math.inf)
    if not bool(torch.isfinite(largest)):
        optimiser.zero_grad(set_to_none=True)
        which = [name for name, p in network.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
        raise Diverged(
            f"gradients are not finite at image {state.num_images} ({type(network).__name__} {', '.join(which[:3])}); the last state is kept"
        )
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _set_rate(state: TrainingState, settings: TrainSettings) -> None:
    """Lets both steps fall along a cosine to a fifth in the last part of the run."""
    progress = state.num_images / (settings.kimg * 1000)
    factor = 1.0
    if progress > settings.lr_decay_from:
        phase = min((progress - settings.lr_decay_from) / max(1 - settings.lr_decay_from, 1e-8), 1.0)
        factor = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * phase))
    for optimiser in (state.G_optimiser, state.D_optimiser):
        for group in optimiser.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * factor


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
    if settings.ada_target is not None:
        direction = math.copysign(1.0, mean_sign - settings.ada_target) if mean_sign != settings.ada_target else 0.0
        step = state.sign_count / (settings.ada_kimg * 1000)
        state.ada_p = min(max(state.ada_p + direction * step, 0.0), settings.ada_p_max)
    state.report["real_sign"] = mean_sign
    state.sign_sum, state.sign_count = 0.0, 0
