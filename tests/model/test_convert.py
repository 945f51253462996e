"""Foreign checkpoints: every name accounted for, nothing run, little memory taken."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from action_images.cli import main
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.convert import convert, rename
from action_images.model.loading import load_module

ABOUT = json.loads((Path(__file__).parents[1] / "golden" / "dit_config.json").read_text())


@pytest.fixture
def checkpoint(golden) -> dict[str, torch.Tensor]:
    """The release's golden network under the release's names."""
    return {name.replace("/", "."): value for name, value in golden("dit_state").items()}


def test_every_name_of_the_published_map_becomes_ours():
    published = ABOUT["keymap_upstream_to_diffusers"]
    assert {name: rename(name) for name in published} == published


@pytest.mark.parametrize("kind", ["ckpt", "wrapped", "safetensors", "shards"])
def test_a_converted_checkpoint_is_the_releases_network(checkpoint, golden, tmp_path, kind: str):
    source, out = tmp_path / f"weights.{'safetensors' if kind == 'safetensors' else 'ckpt'}", tmp_path / "out"
    if kind == "ckpt":
        torch.save(checkpoint, source)
    elif kind == "wrapped":
        torch.save({"state_dict": {f"module.{name}": value for name, value in checkpoint.items()}}, source)
    elif kind == "safetensors":
        save_file(checkpoint, source)
    else:
        source = tmp_path / "shards"
        source.mkdir()
        names = list(checkpoint)
        save_file({name: checkpoint[name] for name in names[:40]}, source / "a.safetensors")
        save_file({name: checkpoint[name] for name in names[40:]}, source / "b.safetensors")
    done = convert(source, out, max_shard_bytes=1_500_000)
    assert done.num_tensors == len(checkpoint)
    assert len(done.files) > 1
    model, numbers = load_module(ActionImagesTransformer3DModel, out).eval(), golden("dit_io")
    with torch.no_grad():
        output = model(
            numbers["a_x"].float(), numbers["a_t"], numbers["a_ctx"].float(), numbers["a_cam"].float()
        ).sample
    torch.testing.assert_close(output, numbers["a_out"], atol=1e-5, rtol=0)


def test_wans_own_checkpoint_has_no_cameras(checkpoint, tmp_path):
    save_file(
        {name: value for name, value in checkpoint.items() if "cam_" not in name and "projector" not in name},
        tmp_path / "w.safetensors",
    )
    assert convert(tmp_path / "w.safetensors", tmp_path / "out").config["camera"] is None
    assert load_module(ActionImagesTransformer3DModel, tmp_path / "out").config["camera"] is None


def broken(checkpoint: dict, kind: str) -> dict:
    if kind == "missing":
        return {name: value for name, value in checkpoint.items() if name != "blocks.1.self_attn.q.bias"}
    if kind == "unknown":
        return checkpoint | {"optimizer.step": torch.zeros(1)}
    if kind == "shape":
        return checkpoint | {"blocks.1.ffn.0.bias": torch.zeros(63)}
    if kind == "gap":
        return checkpoint | {"blocks.999999999.modulation": torch.zeros(1, 6, 24)}
    if kind == "endless":
        return checkpoint | {"blocks.1.ffn.0.bias": torch.zeros(1).expand(10**12)}
    if kind == "twice":
        return checkpoint | {"module.head.head.bias": torch.zeros(192)}
    return {"weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"1 tensors are missing \['blocks.1.attn1.to_q.bias'\], 0 are left over"),
        ("unknown", r"1 of 78 tensors have names that are not Wan's: \['optimizer.step'\]"),
        ("shape", r"'blocks.1.ffn.net.0.proj.bias' has shape \(63,\), its neighbours call for \(64,\)"),
        ("gap", "holds 3 blocks with numbers up to 999999999; some are missing"),
        ("endless", r"'blocks.1.ffn.0.bias' has shape \(1000000000000,\), but the file holds less"),
        ("twice", "are the same tensor twice"),
        ("other", "not Wan's"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_written(
    checkpoint, tmp_path, kind: str, message: str
):
    torch.save(broken(checkpoint, kind), tmp_path / "w.ckpt")
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "w.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("was-run"),))


def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps({"weight": Malicious()}))
    torch.save({"weight": Malicious()}, tmp_path / "v.ckpt")
    for name in ("w.ckpt", "v.ckpt"):
        with pytest.raises(ValueError, match="cannot be read as plain tensors"):
            convert(tmp_path / name, tmp_path / "out")
    assert not Path("was-run").exists()


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_a_file_that_was_cut_short_is_refused(checkpoint, tmp_path, suffix: str):
    path = tmp_path / f"w.{suffix}"
    save_file(checkpoint, path) if suffix == "safetensors" else torch.save(checkpoint, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"w.{suffix}: (is damaged|cannot be read)"):
        convert(path, tmp_path / "out")


def test_the_command_converts_once(checkpoint, tmp_path, capsys):
    torch.save(checkpoint, tmp_path / "w.ckpt")
    assert main(["convert-weights", str(tmp_path / "w.ckpt"), str(tmp_path / "out")]) == 0
    assert "77 tensors" in capsys.readouterr().out
    assert main(["convert-weights", str(tmp_path / "w.ckpt"), str(tmp_path / "out")]) == 2
    assert "already holds converted weights" in capsys.readouterr().err
    assert main(["convert-weights", str(tmp_path / "none.ckpt"), str(tmp_path / "other")]) == 2
    assert "no checkpoint there" in capsys.readouterr().err


MEASURE = """
import re, sys
from pathlib import Path
from action_images.model.convert import convert
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
convert(Path(sys.argv[1]), Path(sys.argv[2]), 20_000_000)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_conversion_takes_less_memory_than_the_file(tmp_path, suffix: str):
    from action_images.model.backbones.wan import ActionImagesTransformer3DModel

    size = {
        "num_attention_heads": 4,
        "attention_head_dim": 128,
        "num_layers": 6,
        "ffn_dim": 2048,
        "text_dim": 512,
    }
    theirs = {ours: name for name, ours in ABOUT["keymap_upstream_to_diffusers"].items()}
    state = {}
    for name, value in (
        ActionImagesTransformer3DModel(**size, camera="released").to(torch.bfloat16).state_dict().items()
    ):
        block = name.split(".")[1] if name.startswith("blocks.") else ""
        state[
            theirs[name.replace(f"blocks.{block}.", "blocks.0.")].replace("blocks.0.", f"blocks.{block}.")
        ] = value
    path = tmp_path / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    size_bytes = path.stat().st_size
    assert size_bytes > 100e6
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, path, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    # A shard at the least: a measurement that saw nothing would prove nothing.
    assert 20e6 < int(told.stdout) < 0.8 * size_bytes
