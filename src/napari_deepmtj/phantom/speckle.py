"""From layers to a B-mode picture: scatterers, point spread and envelope.

Scatterers are band-limited complex noise in *material* coordinates, so that they move with
the tissue; the picture is the log-compressed envelope of their sum under an anisotropic point
spread. Everything is a pure function of random tensors, batched over B scenes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Scene, layers
from napari_deepmtj.phantom.clutter import averaged, fasciae, losses, sheets
from napari_deepmtj.phantom.devices import Device
from napari_deepmtj.phantom.display import display
from napari_deepmtj.phantom.lines import aponeuroses, perimysium
from napari_deepmtj.phantom.materials import Look, Materials, Motion
from napari_deepmtj.phantom.tissue import acoustics, echogenicity, step


def render(
    scene: Scene, materials: Materials, height: int, width: int, motion: Motion | None = None
) -> Tensor:
    """Draw B pictures.

    Parameters
    ----------
    scene : Scene
        B scenes, already moved (`Scene.moved`).
    materials : Materials
        Their tissue, drawn for the same picture size.
    height, width : int
        Pixels of the picture; millimetres per pixel follow from `scene.width_mm`.
    motion : Motion, optional
        Where the tissue has gone since the reference frame.

    Returns
    -------
    Tensor, uint8, shape (B, H, W)
        Grey levels.
    """
    n = len(scene)
    mm_per_px = (scene.width_mm / width)[:, None]
    x = (torch.arange(width) + 0.5)[None] * mm_per_px
    z = ((torch.arange(height) + 0.5)[None] * mm_per_px)[:, :, None]
    slip = torch.zeros(n) if motion is None else motion.slip_mm
    skin_x = x - slip[:, None]
    where = layers(scene, x)
    family = materials.family
    look = Look(materials.look, family.wild)

    in_fat = step(z, where.skin_bottom) * (1 - step(z, where.fascia))
    in_muscle = step(z, where.muscle_top) * (1 - step(z, where.muscle_bottom))
    in_tendon = step(z, where.tendon_top) * (1 - step(z, where.tendon_bottom))
    in_soleus = step(z, where.tendon_bottom) * (1 - step(z, where.soleus_bottom, 0.25))
    in_deep = step(z, where.soleus_bottom, 0.25)
    in_skin = step(z, where.skin_top) * (1 - step(z, where.skin_bottom))
    in_gap = step(z, where.fascia + scene.superficial_mm[:, None]) * (1 - step(z, where.tendon_top))
    in_gap = (in_gap - in_muscle).clamp(min=0.0)

    u = torch.zeros(n) if motion is None else motion.muscle_mm
    s = torch.zeros(n) if motion is None else motion.soleus_mm
    xm = (x - (slip + u)[:, None])[:, None, :]
    xs = (x - (slip + s)[:, None])[:, None, :]
    xf = skin_x[:, None, :]

    level = look.usual(-15, -4)
    decibel = echogenicity(
        scene,
        where,
        materials,
        look,
        level,
        z,
        (xf, xm, xs),
        (in_skin, in_fat, in_gap, in_muscle, in_tendon, in_soleus, in_deep),
    )
    if materials.contrast is not None:
        mean = decibel.mean(dim=(1, 2), keepdim=True)
        decibel = mean + materials.contrast[:, None, None] * (decibel - mean)
    gain = acoustics(scene, where, look, z, skin_x)
    muscles = (in_muscle, in_soleus, in_deep)
    texture, bright = family.texture, torch.zeros(1)
    if texture is not None and materials.clutter is not None:
        own = Look(materials.clutter, family.wild)
        share = own.uniform(*texture.speckle)
        decibel = decibel + sheets(scene, where, materials, own, texture, z, (xm, xs), muscles)
        shade, bright = fasciae(scene, where, own, texture, level, z, skin_x)
        decibel = decibel + shade
        gain = gain + losses(scene, own, texture, z, skin_x)
    amplitude = torch.pow(10.0, (decibel + gain) / 20.0)

    scatter = _advected(materials, mm_per_px, motion, in_fat + in_skin, in_soleus + in_deep)
    bright = bright + aponeuroses(
        scene, where, materials, look, level, z, xf[:, 0], xm[:, 0], in_soleus
    )
    if texture is None:
        bright = bright + perimysium(scene, where, materials, look, level, z, (xm, xs), muscles)
    bright = bright * torch.pow(10.0, gain / 20.0)
    if materials.contrast is not None:
        bright = bright * materials.contrast[:, None, None]
    device = materials.device
    envelope = _envelope(
        amplitude, bright, scatter, device, mm_per_px[:, 0], z, band_limited=family.beam_smoothing
    )
    if texture is not None:
        envelope = averaged(envelope, amplitude, bright, device.noise_db, share)
    return display(envelope, device, mm_per_px[:, 0], across_beam=family.beam_smoothing)


def _advected(
    materials: Materials,
    mm_per_px: Tensor,
    motion: Motion | None,
    superficial: Tensor,
    below: Tensor,
) -> Tensor:
    """Scatterers of the present frame, complex, shape (B, H, W)."""
    scatter, margin = materials.scatter, materials.margin
    height, width = scatter.shape[-2], scatter.shape[-1] - 2 * margin
    if motion is None:
        now = scatter[..., margin : margin + width]
        return torch.complex(now[:, 0], now[:, 1])
    muscle = (1 - superficial - below).clamp(0, 1)
    shift = motion.muscle_mm[:, None, None] * muscle + motion.soleus_mm[:, None, None] * below
    shift = (shift + motion.slip_mm[:, None, None]) / mm_per_px[:, :, None]
    column = torch.arange(width)[None, None, :] + margin - shift
    row = torch.arange(height)[None, :, None].expand_as(column)
    grid = torch.stack(
        [(2 * column + 1) / scatter.shape[-1] - 1, (2 * row + 1) / height - 1], dim=-1
    )
    now = F.grid_sample(
        scatter, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return torch.complex(now[:, 0], now[:, 1])


def _point_spread(field: Tensor, axial_px: Tensor, lateral_px: Tensor, band: Tensor) -> Tensor:
    """Blur complex fields (B, H, W) by Gaussians of the given sigmas in pixels, (B, K) each.

    `band`, shape (B, K), is the lateral frequency the spread is centred at, in cycles a pixel:
    spreads at different bands give independent speckle of the same tissue, as the steering
    angles of a compounding scanner do.

    Returns
    -------
    Tensor, complex, shape (B, K, H, W)
        One blurred field for each of K point spreads, each with unit noise power.
    """
    height, width = field.shape[-2:]
    fy = torch.fft.fftfreq(height)[:, None]
    fx = torch.fft.fftfreq(width)[None, :]
    a, b = axial_px[..., None, None], lateral_px[..., None, None]
    # The Gaussian transfer function is separable: two short exponentials, one outer product.
    rows = torch.exp(-2 * math.pi**2 * (a * fy) ** 2)
    columns = torch.exp(-2 * math.pi**2 * (b * (fx - band[..., None, None])) ** 2)
    gain = (4 * math.pi * axial_px * lateral_px).clamp(min=1.0).sqrt()[..., None, None]
    spectrum = torch.view_as_real(torch.fft.fft2(field))[:, None]
    spectrum = spectrum * (rows * (columns * gain))[..., None]
    blurred: Tensor = torch.fft.ifft2(torch.view_as_complex(spectrum))
    return blurred


def _envelope(
    amplitude: Tensor,
    bright: Tensor,
    scatter: Tensor,
    device: Device,
    mm_per_px: Tensor,
    z: Tensor,
    *,
    band_limited: bool = True,
) -> Tensor:
    """Envelope of the summed echoes, (B, H, W); noise is that of fine samples or of pixels."""
    axial = (device.axial_mm / mm_per_px).clamp(min=0.45)
    focus = (device.lateral_mm / mm_per_px).clamp(min=0.55)
    zero, band = torch.zeros_like(focus), 0.32 / focus
    spread = _point_spread(
        torch.complex(amplitude * scatter.real, amplitude * scatter.imag),
        axial[:, None].expand(-1, 4),
        torch.stack([focus, focus, focus, focus * device.spread], 1),
        torch.stack([zero, band, -band, zero], 1),
    )
    floor = torch.pow(10.0, device.noise_db / 20)[:, None, None]
    noise = torch.roll(scatter, (7, 13), dims=(1, 2))
    if band_limited:
        narrow = torch.full_like(axial, 0.4)
        noise = _point_spread(noise, axial[:, None], narrow[:, None], zero[:, None])[:, 0]
    real, imaginary = bright + noise.real * floor, noise.imag * floor

    def power_of(index: int) -> Tensor:
        field = spread[:, index]
        return (field.real + real) ** 2 + (field.imag + imaginary) ** 2

    straight = power_of(0)
    steered = 0.5 * (power_of(1) + power_of(2))
    compound = device.compound[:, None, None]
    sharp = (1 - compound) * straight + compound * steered
    depth = (z / z[:, -1:, :]).clamp(0, 1)
    off_focus = ((depth - device.focus[:, None, None]).abs() * 1.4).clamp(max=1)
    power = sharp * (1 - off_focus) + power_of(3) * off_focus
    return power.sqrt() + 1e-6
