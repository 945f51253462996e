"""Distances between generated and real videos, by established libraries (the extra `judge`)."""

import pickle
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.errors import ActionImagesError


def psnr(real: Float[Tensor, "*batch 3 h w"], made: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch"]:
    """Peak signal-to-noise ratio (dB) of each image in [0, 1]; infinite if both are equal."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    flat = peak_signal_noise_ratio(_flat(made), _flat(real), data_range=1.0, reduction="none", dim=(1, 2, 3))
    return flat.unflatten(0, real.shape[:-3])


def ssim(real: Float[Tensor, "*batch 3 h w"], made: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch"]:
    """Structural similarity of each image in [0, 1], at most 1.

    Source: Wang et al. 2004, with a Gaussian window of 11 px, sigma 1.5.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    flat = structural_similarity_index_measure(_flat(made), _flat(real), data_range=1.0, reduction="none")
    assert isinstance(flat, Tensor)
    return flat.reshape(real.shape[:-3])


def load_lpips() -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS (AlexNet features) by torchmetrics: real, made (..., 3 h w) in [0, 1] -> (...).

    Needs torchvision and its AlexNet weights, which torchvision downloads; raises ValueError if they are not
    available.
    """
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        measure = LearnedPerceptualImagePatchSimilarity("alex", reduction="mean", normalize=True)
    except (ImportError, ModuleNotFoundError, OSError) as error:
        cure = (
            "install torchvision, and let it download AlexNet's weights once "
            "(or put them into torch's hub folder)"
        )
        raise ActionImagesError(
            f"LPIPS needs a pretrained network that is not here ({error}); {cure}"
        ) from error

    @torch.no_grad()
    def lpips(real: Tensor, made: Tensor) -> Tensor:
        values = [_measured(measure, one, other) for one, other in zip(_flat(made), _flat(real), strict=True)]
        return torch.stack(values).reshape(real.shape[:-3])

    return lpips


def _measured(measure: Callable[[Tensor, Tensor], Tensor], made: Tensor, real: Tensor) -> Tensor:
    """The measure, with NaN for images that are not finite, as networks refuse these."""
    return measure(made[None], real[None]) if made.isfinite().all() else made.new_tensor(torch.nan)


LEAST_FVD_FRAMES = 10
"""I3D halves time three times, so shorter videos leave no frames."""


def load_fvd(num_frames: int, device: str = "cpu") -> Callable[[Tensor, Tensor], float]:
    """FVD (I3D features) by cd-fvd of two sets of videos (video frame 3 h w) in [0, 1]: real, made.

    Needs the package cd-fvd and its I3D weights, which it downloads. Raises ValueError if they are not
    available, and for videos of fewer than 10 frames, which are too short for I3D. FVD means little for fewer
    than some hundred videos.
    """
    if num_frames < LEAST_FVD_FRAMES:
        raise ActionImagesError(
            f"FVD takes videos of at least {LEAST_FVD_FRAMES} frames, these have {num_frames}; "
            "leave FVD out for this model"
        )
    try:
        from cdfvd import fvd as library  # pyright: ignore[reportMissingImports]

        measure = library.cdfvd("i3d", ckpt_path=None, device=device)
    except (ImportError, ModuleNotFoundError, OSError, pickle.UnpicklingError) as error:
        cure = (
            "pip install cd-fvd, and let it download I3D once "
            "(i3d_pretrained_400.pt in its own folder; delete one that is damaged)"
        )
        raise ActionImagesError(
            f"FVD needs a pretrained network that is not here ({error}); {cure}"
        ) from error

    def fvd(real: Tensor, made: Tensor) -> float:
        measure.empty_real_stats()
        measure.empty_fake_stats()
        return float(measure.compute_fvd(_as_bytes(real), _as_bytes(made)))

    return fvd


def _as_bytes(videos: Float[Tensor, "video frame 3 h w"]) -> UInt8[np.ndarray, "video frame h w 3"]:
    return videos.mul(255).round().byte().movedim(2, -1).numpy()


def _flat(images: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "num 3 h w"]:
    return images.reshape(-1, *images.shape[-3:])
