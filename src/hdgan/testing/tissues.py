"""How each tissue of a painted slide looks: amounts of nucleus, cytoplasm and matrix `[3, H, W]`, each 0 to 1, zeros being glass.

Only the arrangement differs between classes. Tubules: a membrane, one row of round nuclei, a wide white lumen, 40 to 60 um.
Glomerulus: a thin capsule, a white (Bowman's) space, a tuft of narrow loops crowded with nuclei. Vessels: concentric layers
with nuclei lying along them around a lumen; thick and scalloped in arteries, one or two layers in arterioles.
"""

from __future__ import annotations

import numpy as np

from hdgan.testing.anatomy import ARTERY, TUBULE_UM, Body, Scene
from hdgan.testing.cells import Cells, Seeds, scatter
from hdgan.testing.fields import Field, Window, hashed, smooth, specks, step, texture

NUCLEUS, CYTOPLASM, MATRIX = range(3)
_RAYS = 11


def tubulointerstitium(window: Window, scene: Scene, clear_um: Field) -> Field:
    """Tubules with what lies between them; `clear_um [H, W]` is the distance to the nearest glomerulus or vessel, to which they give way."""
    s = np.float32(scene.scale)
    holes = np.array([(b.x_um, b.y_um, b.radius_um) for b in scene.bodies]).reshape(-1, 3)
    seeds = scatter(window, spacing_um=TUBULE_UM * scene.scale, key=scene.key("tubules"), warp_um=8 * scene.scale, holes=holes)
    cells = seeds.cells(window)
    gap = s * (np.float32(1.3 + 1.5 * scene.fibrosis) * (1 + smooth(window, 120 * scene.scale, scene.key("gap"))) + np.float32(0.6))
    depth = np.minimum(cells.depth_um, clear_um - gap) - gap
    amounts = _interstitium(window, scene)
    _tubules(window, scene, seeds, cells, depth, amounts)
    return amounts


def _interstitium(window: Window, scene: Scene) -> Field:
    """Wavy fibres, small nuclei, and here and there a capillary."""
    s = scene.scale
    fibres = smooth(window, 4 * s, scene.key("fibre")) + smooth(window, 11 * s, scene.key("fibre2"))
    nuclei = specks(window, spacing_um=11 * s, radius_um=2.6 * s, share=0.55, key=scene.key("interstitial nuclei"))
    holes = specks(window, spacing_um=17 * s, radius_um=3.2 * s, share=0.35, key=scene.key("capillaries"))
    solid = 1 - holes
    matrix = (np.float32(0.42) + np.float32(0.2) * fibres) * solid * (1 - nuclei)
    cytoplasm = np.float32(0.30) * solid * (1 - nuclei)
    return np.stack((nuclei * solid, cytoplasm, matrix))


def _tubules(window: Window, scene: Scene, seeds: Seeds, cells: Cells, depth: Field, amounts: Field) -> None:
    """Draws every tubule over the interstitium in `amounts`, where `depth` (um below the membrane's outer face) is positive."""
    s, mpp = np.float32(scene.scale), window.mpp
    thickness, fullness, cast = (seeds.traits[i][cells.index] for i in (0, 1, 2))
    ragged = smooth(window, 3.5 * scene.scale, scene.key("brush"))
    wall = s * (np.float32(6.5) + np.float32(7) * thickness + np.float32(1.6) * ragged)
    inside = step(depth, mpp)
    membrane = inside * (1 - step(depth - np.float32(1.5) * s, mpp))
    epithelium = inside * (1 - step(depth - wall, mpp)) - membrane
    lumen = inside - membrane - epithelium
    nucleus = _round_nuclei(scene, seeds, cells, mpp) * epithelium
    grainy = texture(window, 2.4 * scene.scale, scene.key("cytoplasm"))
    is_cast = (cast < np.float32(0.09)).astype(np.float32)
    full = is_cast * (np.float32(0.75) + np.float32(0.1) * grainy) + (1 - is_cast) * np.float32(0.13) * np.clip(grainy + fullness, 0, 1)
    body = np.float32(0.72) + np.float32(0.13) * fullness + np.float32(0.16) * grainy
    amounts *= 1 - inside
    amounts[NUCLEUS] += nucleus
    amounts[CYTOPLASM] += (epithelium - nucleus) * body + lumen * full
    amounts[MATRIX] += membrane * np.float32(0.95) + lumen * is_cast * np.float32(0.25) + (epithelium - nucleus) * np.float32(0.06)


def _round_nuclei(scene: Scene, seeds: Seeds, cells: Cells, mpp: float) -> Field:
    """Coverage by the row of nuclei in each tubule's epithelium, at most one in each of `_RAYS` sectors, all equally deep."""
    s = np.float32(scene.scale)
    turn = np.float32(2 * np.pi / _RAYS)
    seed_x = np.round(seeds.x_um).astype(np.int64)
    seed_y = np.round(seeds.y_um).astype(np.int64)
    ray = np.arange(_RAYS)[:, None]
    draws = [hashed(seed_x * _RAYS + ray, seed_y + 0 * ray, scene.key("nuclei") + i) for i in range(2)]
    angle = (ray + np.float32(0.5) + np.float32(0.6) * (draws[0] - np.float32(0.5))) * turn
    radius = seeds.reach(angle.astype(np.float32), s * (np.float32(6) + np.float32(2) * seeds.traits[3]))
    is_there = (draws[1] < np.float32(0.85)) & (radius * turn > np.float32(4.2) * s)
    sector = np.clip((np.mod(np.arctan2(cells.dy_um, cells.dx_um), np.float32(2 * np.pi)) / turn).astype(np.int64), 0, _RAYS - 1)
    place = sector * seeds.x_um.size + cells.index
    dx = cells.dx_um - (radius * np.cos(angle)).ravel()[place]
    dy = cells.dy_um - (radius * np.sin(angle)).ravel()[place]
    return np.asarray(step(np.float32(2.9) * s - np.sqrt(dx * dx + dy * dy), mpp) * is_there.ravel()[place], np.float32)


def glomerulus(window: Window, scene: Scene, body: Body, *, radius: Field, angle: Field, outline: Field) -> Field:
    """A glomerulus around its centre; `radius`, `angle` of each pixel and the `outline` radius in its direction, um and radians."""
    s, mpp = np.float32(scene.scale), window.mpp
    below = outline - radius
    capsule = step(below, mpp) * (1 - step(below - np.float32(2.4) * s, mpp))
    lobes = np.cos(6 * angle + np.float32(body.waves[0, 1])) + np.cos(9 * angle + np.float32(body.waves[1, 1]))
    # The tuft hangs on the pole: there it meets the capsule, opposite to it Bowman's space is widest.
    share = np.float32(body.wall) + np.float32(1.02 - body.wall) * np.clip(np.cos(angle - np.float32(body.pole)) * 3 - 2, 0, 1)
    rim = outline * share + np.float32(1.6) * s * lobes + np.float32(2) * s * smooth(window, 9 * scene.scale, body.key)
    depth = np.minimum(rim - radius, below - np.float32(2.4) * s)
    tuft = step(depth, mpp)
    seeds = scatter(window, spacing_um=13.5 * scene.scale, key=body.key, warp_um=3.5 * scene.scale)
    loops = seeds.cells(window)
    openness = seeds.traits[0][loops.index] + np.float32(0.35) * smooth(window, 45 * scene.scale, body.key + 5)
    is_open = (openness > np.float32(0.30)).astype(np.float32)
    well = np.minimum(loops.depth_um, depth * np.float32(0.8))
    lumen = step(well - s * (np.float32(2.3) + np.float32(1.0) * seeds.traits[1][loops.index]), mpp) * is_open
    # Loops have cells inside of their membrane; between them lies matrix or cells, so that the mixture is no colour of its own.
    membrane = step(np.float32(1.1) * s - well, mpp) * np.float32(0.85)
    core = (seeds.traits[2][loops.index] < np.float32(0.5)) * (1 - is_open)
    nuclei = specks(
        window, spacing_um=8.5 * scene.scale, radius_um=2.8 * scene.scale, share=0.85, key=body.key + 31, warp_um=3 * scene.scale
    )
    nuclei = nuclei * (1 - lumen) * tuft
    flat = step(s * np.float32(1.3) - np.abs(below - np.float32(2.2) * s), mpp) * (np.cos(11 * angle + np.float32(body.waves[2, 1])) > 0.9)
    solid = tuft * (1 - lumen) - nuclei
    matrix = solid * np.maximum(membrane, core * np.float32(0.55)) + capsule * np.float32(0.85) * (1 - flat)
    cytoplasm = solid * (1 - membrane) * (np.float32(0.78) - np.float32(0.45) * core) + tuft * lumen * np.float32(0.05)
    return np.stack((np.maximum(nuclei, flat * (1 - tuft)), cytoplasm, matrix))


def vessel(window: Window, scene: Scene, body: Body, *, radius: Field, angle: Field, outline: Field) -> Field:
    """An artery or arteriole around its centre; the arguments are those of `glomerulus`."""
    s, mpp = np.float32(scene.scale), window.mpp
    is_artery = body.kind == ARTERY
    below = outline - radius
    wall = outline * np.float32(body.wall)
    folds = np.float32(1.8 if is_artery else 0.7) * s * np.cos((17 if is_artery else 6) * angle + np.float32(body.waves[0, 1]))
    inner = wall + folds + np.float32(1.2) * s * smooth(window, 14 * scene.scale, body.key)
    lumen = step(below - inner, mpp)
    elastic = step(np.float32(1.1 if is_artery else 0.6) * s - np.abs(below - inner + np.float32(1.2) * s), mpp)
    pitch = np.float32(6.5 if is_artery else 4.5) * s
    wavy = below + np.float32(1.4) * s * smooth(window, 20 * scene.scale, body.key + 3)
    layers = np.sin(wavy * (np.float32(2 * np.pi) / pitch))
    coat = 1 - step(below - np.float32(0.13) * outline, mpp)
    nuclei = _lying_nuclei(body, wavy, radius, angle, pitch=pitch, mpp=mpp, scale=scene.scale) * (1 - lumen) * (1 - elastic)
    grainy = texture(window, 2.5 * scene.scale, body.key + 4)
    solid = (1 - lumen) * (1 - nuclei)
    muscle = np.float32(0.66) + np.float32(0.14) * layers + np.float32(0.1) * grainy
    cytoplasm = solid * (muscle * (1 - coat) + np.float32(0.35) * coat)
    fibres = np.float32(0.16) - np.float32(0.13) * layers + coat * np.float32(0.35)
    matrix = solid * np.clip(fibres, 0, 1) * (1 - elastic) + elastic * np.float32(0.9) * (1 - nuclei)
    plasma = np.float32(0.5) * float(body.key % 4 == 0) * np.clip(np.float32(0.7) + grainy, 0, 1)
    return np.stack((nuclei, cytoplasm + lumen * plasma, matrix))


def _lying_nuclei(body: Body, below: Field, radius: Field, angle: Field, *, pitch: np.float32, mpp: float, scale: float) -> Field:
    """Coverage by spindle nuclei, one ring of them in each layer, their long axis along it."""
    s = np.float32(scale)
    ring = np.floor(below / pitch)
    mid = np.maximum(np.float32(body.radius_um) - (ring + np.float32(0.5)) * pitch, np.float32(1.0) * s)
    number = np.maximum(np.round(mid * np.float32(2 * np.pi) / (np.float32(17 if body.kind == ARTERY else 13) * s)), 2)
    shift = hashed(ring + 64, np.zeros_like(ring), body.key)
    turn = np.float32(2 * np.pi) / number
    # Whole numbers of turns: ray and ray + number are the same nucleus, so both hash alike.
    ray = np.round(angle / turn - shift)
    along = (angle - (ray + shift) * turn) * radius
    across = below - (ring + np.float32(0.5)) * pitch
    present = hashed(ring + 64, np.mod(ray, number), body.key + 1) < np.float32(0.72 if body.kind == ARTERY else 0.95)
    distance = np.sqrt(np.square(along / np.float32(3.2)) + np.square(across))
    return step(np.float32(1.55) * s - distance, mpp) * present
