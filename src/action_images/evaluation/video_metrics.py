"""How far generated videos lie from real ones, by established libraries: the extra `judge` (torchmetrics), and what needs weights."""

import torch
from jaxtyping import Float
from torch import Tensor


def psnr(real: Float[Tensor, "*batch 3 h w"], made: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch"]:
    """Peak signal-to-noise ratio (dB) of each image in [0, 1]; infinite where both are equal."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    flat = peak_signal_noise_ratio(_flat(made), _flat(real), data_range=1.0, reduction="none", dim=(1, 2, 3))
    return flat.unflatten(0, real.shape[:-3])


def ssim(real: Float[Tensor, "*batch 3 h w"], made: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch"]:
    """Structural similarity of each image in [0, 1], at most 1 (Wang et al. 2004: Gaussian window of 11 px, sigma 1.5)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    flat = structural_similarity_index_measure(_flat(made), _flat(real), data_range=1.0, reduction="none")
    assert isinstance(flat, Tensor)
    return flat.reshape(real.shape[:-3])


def lpips(real: Float[Tensor, "*batch 3 h w"], made: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch"]:
    """Learned perceptual distance of each image in [0, 1] (AlexNet features), by torchmetrics.

    Needs torchvision and its AlexNet weights, which torchvision downloads: raises ValueError where they are not to be had.
    """
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        measure = LearnedPerceptualImagePatchSimilarity("alex", reduction="mean", normalize=True)
    except (ImportError, ModuleNotFoundError, OSError) as error:
        cure = "install torchvision, and let it download AlexNet's weights once (or put them into torch's hub folder)"
        raise ValueError(f"LPIPS needs a pretrained network that is not here ({error}); {cure}") from error
    with torch.no_grad():
        values = [measure(one[None], other[None]) for one, other in zip(_flat(made), _flat(real), strict=True)]
    return torch.stack(values).reshape(real.shape[:-3])


def fvd(real: Float[Tensor, "video frame 3 h w"], made: Float[Tensor, "video frame 3 h w"]) -> float:
    """Frechet video distance of two sets of videos in [0, 1] (I3D features), by cd-fvd.

    Needs the package cd-fvd and its I3D weights, which it downloads: raises ValueError where they are not to be had.
    I3D wants at least 10 frames. It says little of fewer than some hundred videos.
    """
    try:
        from cdfvd import fvd as library  # pyright: ignore[reportMissingImports]

        measure = library.cdfvd("i3d", ckpt_path=None, device="cpu")
    except (ImportError, ModuleNotFoundError, OSError) as error:
        raise ValueError(
            f"FVD needs a pretrained network that is not here ({error}); install cd-fvd and let it download I3D once"
        ) from error
    pair = [videos.mul(255).round().byte().movedim(2, -1).numpy() for videos in (real, made)]
    return float(measure.compute_fvd(*pair))


def _flat(images: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "num 3 h w"]:
    return images.reshape(-1, *images.shape[-3:])
