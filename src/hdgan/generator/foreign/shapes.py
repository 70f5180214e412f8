"""Names and shapes of the weights of our networks, as plain data: what an imported file must fill, all of it and no more."""

from __future__ import annotations

from hdgan.generator.spec import NetworkSpec

Shapes = dict[str, tuple[int, ...]]


def generator_shapes(spec: NetworkSpec) -> Shapes:
    """Of `Generator(spec)`, for networks that start from a constant."""
    w = spec.w_dim
    shapes = _linear("mapping.embed", spec.label_dim, w) if spec.label_dim else {}
    for i in range(spec.mapping_layers):
        num_in = w if i else spec.z_dim + (w if spec.label_dim else 0)
        shapes |= _linear(f"mapping.fc{i}", num_in, w)
    shapes["mapping.w_avg"] = (w,)
    shapes["synthesis.b4.const"] = (spec.channels(4), 4, 4)
    for resolution in spec.block_resolutions:
        block, channels = f"synthesis.b{resolution}", spec.channels(resolution)
        for i in (0, 1) if resolution > 4 else (1,):
            layer, num_in = f"{block}.conv{i}", channels if i else spec.channels(resolution // 2)
            shapes |= _linear(f"{layer}.affine", w, num_in)
            shapes |= {f"{layer}.weight": (channels, num_in, 3, 3), f"{layer}.bias": (channels,)}
            if resolution >= spec.noise_from_px:
                shapes[f"{layer}.noise_strength"] = ()
                if spec.noise_maps == "shared":
                    shapes[f"{layer}.noise_const"] = (resolution, resolution)
        shapes |= _linear(f"{block}.torgb.affine", w, channels)
        shapes |= {f"{block}.torgb.weight": (spec.image_channels, channels, 1, 1), f"{block}.torgb.bias": (spec.image_channels,)}
    return shapes


def discriminator_shapes(spec: NetworkSpec) -> Shapes:
    """Of `Discriminator(spec)`."""
    width = spec.channels(4)
    shapes: Shapes = {}
    for resolution in spec.block_resolutions[1:]:
        block, num_in, num_out = f"b{resolution}", spec.channels(resolution), spec.channels(resolution // 2)
        if resolution == spec.resolution:
            shapes |= {f"{block}.fromrgb.weight": (num_in, spec.image_channels, 1, 1), f"{block}.fromrgb.bias": (num_in,)}
        shapes |= {f"{block}.conv0.weight": (num_in, num_in, 3, 3), f"{block}.conv0.bias": (num_in,)}
        shapes |= {f"{block}.conv1.weight": (num_out, num_in, 3, 3), f"{block}.conv1.bias": (num_out,)}
        if spec.discriminator == "resnet":
            shapes[f"{block}.skip.weight"] = (num_out, num_in, 1, 1)
    num_in = width + (1 if spec.minibatch_std_group else 0)
    shapes |= {"b4.conv.weight": (width, num_in, 3, 3), "b4.conv.bias": (width,)}
    shapes |= _linear("b4.fc", width * 16, width) | _linear("b4.out", width, width if spec.label_dim else 1)
    if spec.label_dim:
        shapes |= _linear("mapping.embed", spec.label_dim, width)
        for i in range(8):
            shapes |= _linear(f"mapping.fc{i}", width, width)
    return shapes


def _linear(name: str, num_in: int, num_out: int) -> Shapes:
    return {f"{name}.weight": (num_out, num_in), f"{name}.bias": (num_out,)}
