"""The bench of the model: figures appear as they are measured; a saved autoencoder is measured too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from test_bundle import small_wan

from action_images.model.autoencoders.pca import PcaAutoencoder

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The module bench/model.py."""
    monkeypatch.syspath_prepend(str(BENCH))
    import model

    return model


def measure(folder: Path, out: Path, *options: str) -> tuple[str, list[dict]]:
    """What `bench/model.py --autoencoder` prints and writes."""
    command = [
        sys.executable,
        str(BENCH / "model.py"),
        "--autoencoder",
        str(folder),
        "--json",
        str(out / "figures.json"),
        *options,
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told, json.loads((out / "figures.json").read_text())["autoencoder"]


def test_wans_autoencoder_is_measured_from_its_folder(tmp_path):
    small_wan().vae.save_pretrained(tmp_path / "vae")
    told, rows = measure(tmp_path / "vae", tmp_path, "--size", "64", "--frames", "5", "--scenes", "2")
    assert [row["clip"] for row in rows] == [0, 1]
    # Random weights: the figures are bad, but they are figures.
    assert all(row["video PSNR dB"] < 20 for row in rows)
    assert all(row["position mm"] is None or row["position mm"] > 10 for row in rows)
    assert "position mm" in told


def test_a_good_autoencoder_reads_back_to_millimetres(bench, tmp_path):
    scenes = bench.Scenes()
    bench.fitted(64, scenes).save_pretrained(tmp_path / "vae")
    rows = list(bench.of_folder(tmp_path / "vae", (64, 64), 9, 2))
    assert len(rows) == 2
    assert all(row["position mm"] < 3 for row in rows)
    assert all(row["video PSNR dB"] > 30 for row in rows)


@pytest.mark.parametrize(
    ("size", "frames", "message"), [(60, 9, "resize to 64 x 64"), (64, 8, "cut the clip to 5 or 9 frames")]
)
def test_clips_that_the_autoencoder_cannot_take_are_refused_first(
    bench, tmp_path, size: int, frames: int, message: str
):
    PcaAutoencoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        next(bench.of_folder(tmp_path, (size, size), frames, 1))


def test_each_row_is_shown_before_the_next_is_measured(bench):
    console = Console(record=True, width=120)
    seen = []

    def rows():
        for number in range(3):
            seen.append(console.export_text(clear=False).count("figure"))
            yield {"name": f"figure {number}", "ms": 1.0}

    assert [row["ms"] for row in bench.show(console, "title", rows())] == [1.0] * 3
    assert seen == [0, 1, 2]


def test_figures_without_a_number_are_null_in_the_file(bench, tmp_path):
    bench.write(
        tmp_path / "f" / "figures.json", {"a": [{"x": float("inf"), "y": 1.5, "z": None, "w": float("nan")}]}
    )
    assert json.loads((tmp_path / "f" / "figures.json").read_text()) == {
        "a": [{"x": None, "y": 1.5, "z": None, "w": None}]
    }
