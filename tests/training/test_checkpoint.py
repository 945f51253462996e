"""Checkpoints: whole or not there, and exactly what was saved."""

import json
import resource
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from action_images.cli import main
from action_images.errors import ActionImagesError
from action_images.files.checksum import checksum
from action_images.training.checkpoint import (
    Progress,
    Stored,
    TorchState,
    checkpoints,
    checksum_of_files,
    gather,
    load,
    note,
    restore,
    save,
    write_state,
)
from action_images.training.ema import EMA
from action_images.training.run_folder import clean


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).requires_grad_(False))


def trained() -> tuple[nn.Module, TorchState, EMA]:
    """A small network three steps on."""
    net = network()
    optimizer = torch.optim.AdamW([value for value in net.parameters() if value.requires_grad], 0.1)
    ema = EMA(net, 0.9)
    for _ in range(3):
        net(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
    return net, TorchState(optimizer), ema


def test_what_is_saved_comes_back_bit_by_bit_and_what_is_frozen_is_left_out(tmp_path):
    net, optimizer, ema = trained()
    tensors = gather(net, optimizer, ema.named())
    assert not any(name.startswith("model/1.") for name in tensors)
    path = save(tmp_path, tensors, Progress(3, 17, 0.5, 2.0), keep_last=1)
    read, progress = load(path)
    assert progress == Progress(3, 17, 0.5, 2.0)
    fresh = network()
    other = TorchState(torch.optim.AdamW([value for value in fresh.parameters() if value.requires_grad], 0.1))
    shadow = EMA(fresh, 0.9)
    shadow.load(restore(read, fresh, other))
    again = gather(fresh, other, shadow.named())
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert shadow.num_updates == 3


def test_a_full_disk_leaves_the_checkpoint_before_as_it_was(tmp_path):
    tensors = gather(*trained()[:2], {})
    first = save(tmp_path, tensors, Progress(1, 0), keep_last=1)
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (100, limit[1])
    )  # no file may grow beyond 100 bytes, as on a disk that is full
    try:
        with pytest.raises(
            OSError,
            match=r"step-00000002: the checkpoint could not be written .* the one before is as it was",
        ):
            save(tmp_path, tensors, Progress(2, 0), keep_last=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert save(tmp_path, tensors, Progress(2, 0), keep_last=1).name == "step-00000002"


def test_what_a_killed_process_left_half_written_is_not_a_checkpoint(tmp_path):
    tensors = gather(*trained()[:2], {})
    (tmp_path / ".step-00000002.action-images-part").mkdir()
    (tmp_path / ".step-00000002.action-images-part" / "state.json").write_text("{")
    saved = save(tmp_path, tensors, Progress(1, 0), keep_last=3)
    assert checkpoints(tmp_path) == [saved]
    assert save(tmp_path, tensors, Progress(2, 0), keep_last=3) == checkpoints(tmp_path)[-1]


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors"])
def test_a_damaged_file_is_one_clear_error(tmp_path, file):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 0), keep_last=1)
    (path / file).write_bytes((path / file).read_bytes()[:40])
    with pytest.raises(ValueError, match=r"step-00000001: is no checkpoint that can be read"):
        load(path)


def flipped(path: Path, place: int) -> None:
    """One bit of a file, turned over."""
    found = bytearray(path.read_bytes())
    found[place] ^= 1
    path.write_bytes(bytes(found))


@pytest.mark.parametrize("place", [-1, -200])
def test_a_flipped_bit_of_the_tensors_is_refused(tmp_path, place):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 0), keep_last=1)
    flipped(path / "tensors.safetensors", place)
    with pytest.raises(ActionImagesError, match=r"step-00000001.*tensors.safetensors.*checksum.*delete it"):
        load(path)


def test_a_copy_that_somebody_keeps_beside_the_checkpoints_is_left_alone(tmp_path):
    net, optimizer, ema = trained()
    tensors = gather(net, optimizer, ema.named())
    (tmp_path / "step-00000003-keep").mkdir()
    (tmp_path / "step-00000003-keep" / "state.json").write_text("{}")
    saved = [save(tmp_path, tensors, Progress(step, 17), keep_last=1) for step in (3, 4)]
    assert checkpoints(tmp_path) == saved[1:]
    assert (tmp_path / "step-00000003-keep").is_dir()


def test_info_of_a_run_reads_its_checkpoints_whole(tmp_path, capsys):
    (tmp_path / "recipe.json").write_text('{"preset": "debug"}')
    for step in (1, 2):
        path = save(tmp_path / "checkpoints", gather(*trained()[:2], {}), Progress(step, 0), keep_last=2)
    assert main(["info", str(tmp_path)]) == 0
    assert "as they were written: step-00000001, step-00000002" in capsys.readouterr().out
    flipped(path / "tensors.safetensors", -1)
    assert main(["info", str(tmp_path)]) == 2
    assert "step-00000002: is no checkpoint that can be read" in capsys.readouterr().err


def test_info_of_a_run_says_what_it_lacks_to_compare_checksums(tmp_path, capsys, monkeypatch):
    (tmp_path / "recipe.json").write_text('{"preset": "debug"}')
    monkeypatch.delitem(sys.modules, "action_images.training.checkpoint")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert main(["info", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not compared with their checksums: needs safetensors, which is not installed" in said


def test_a_changed_word_of_the_state_is_refused(tmp_path):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 0, best=25.0), keep_last=1)
    state = (path / "state.json").read_text()
    (path / "state.json").write_text(state.replace("25.0", "26.0"))
    with pytest.raises(ActionImagesError, match=r"state.json.*checksum"):
        load(path)


@pytest.mark.parametrize(
    "changed",
    [{"step": 10**9}, {"step": -5}, {"step": 1.5}, {"step": True}, {"fingerprint": "x"}, {"best": "good"}],
)
def test_a_state_that_cannot_be_is_refused_by_name_also_without_checksums(tmp_path, changed):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 0), keep_last=1)
    without_checksums(path, **changed)
    with pytest.raises(ActionImagesError, match=f"step-00000001: .*{next(iter(changed))}"):
        load(path)


def without_checksums(checkpoint: Path, **changed) -> None:
    """As older versions wrote it."""
    state = json.loads((checkpoint / "state.json").read_text())
    old = {name: value for name, value in state.items() if not name.endswith("sha256")}
    (checkpoint / "state.json").write_text(json.dumps({**old, **changed}))


def test_checkpoints_of_older_versions_have_no_checksums_and_load(tmp_path):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 7, 0.5), keep_last=1)
    without_checksums(path)
    assert load(path)[1] == Progress(1, 7, 0.5)


def test_what_is_noted_later_is_read_and_the_tensors_are_still_checked(tmp_path):
    path = save(tmp_path, gather(*trained()[:2], {}), Progress(1, 7), keep_last=1)
    note(tmp_path, Progress(1, 7, 0.25))
    assert load(path)[1].best == 0.25
    flipped(path / "tensors.safetensors", -1)
    with pytest.raises(ActionImagesError, match="checksum"):
        load(path)


def test_tensors_of_another_network_are_refused_by_name(tmp_path: Path):
    net, optimizer, _ = trained()
    tensors = gather(net, optimizer, {})
    assert tensors is not None

    def stored(name: str, others: dict[str, torch.Tensor]) -> Stored:
        save_file(others, tmp_path / name)
        return Stored(tmp_path / name)

    with pytest.raises(ValueError, match=r"has no 0.weight"):
        restore(
            stored("less", {name: value for name, value in tensors.items() if name != "model/0.weight"}),
            net,
            optimizer,
        )
    with pytest.raises(ValueError, match=r"0.bias has shape \(5,\), the run's \(4,\)"):
        restore(stored("other", tensors | {"model/0.bias": torch.zeros(5)}), net, optimizer)


def test_a_process_that_is_not_to_keep_them_holds_no_copy():
    net, optimizer, ema = trained()
    assert gather(net, optimizer, ema.named(), keep=False) is None


def test_the_average_follows_and_is_in_place_only_while_asked_for():
    net, _, ema = trained()
    last = net[0].weight.detach().clone()
    with ema.in_place():
        assert torch.equal(net[0].weight, ema.named()["0.weight"])
        assert not torch.equal(net[0].weight, last)
    assert torch.equal(net[0].weight, last)


def test_the_average_is_the_sum_with_the_decays_that_it_promises():
    net = nn.Linear(1, 1, bias=False)
    ema = EMA(net, 0.9)
    expected = net.weight.item()
    for number in range(1, 200):
        with torch.no_grad():
            net.weight.fill_(number)
        ema.update()
        decay = min(0.9, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * number
    assert ema.named()["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_without_a_decay_the_weights_stand_for_themselves():
    net = network()
    ema = EMA(net, None)
    ema.update()
    with ema.in_place():
        assert ema.named() == {}


def test_what_a_kill_left_in_a_checkpoint_or_among_the_sheets_is_removed(tmp_path):
    (tmp_path / "recipe.json").touch()
    noted, sheets = tmp_path / "checkpoints" / "step-00000001", tmp_path / "sheets"
    sheets.mkdir()
    noted.mkdir(parents=True)
    for name in ("state.json", ".state.json.abcdefgh.action-images-part.json"):
        (noted / name).touch()
    (sheets / ".step-00000012.png.abcdefgh.action-images-part.png").touch()
    clean(tmp_path)
    assert [path.name for path in noted.iterdir()] == ["state.json"]
    assert list(sheets.iterdir()) == []


def test_a_state_that_is_a_device_is_refused(tmp_path):
    checkpoint = tmp_path / "step-00000001"
    checkpoint.mkdir()
    (checkpoint / "state.json").symlink_to("/dev/zero")
    with pytest.raises(ActionImagesError, match="is a device or a pipe"):
        load(checkpoint)


def shared_out(path: Path) -> Path:
    """The same checkpoint as torch's distributed ones write it: two files with a piece of each tensor."""
    whole = Stored(path / "tensors.safetensors")
    for number, name in enumerate(("shard-00001-model-00001-of-00001", "shard-00002-model-00001-of-00001")):
        parts, places = {}, {}
        for key, value in whole.items():
            if value.ndim == 0 and number:
                continue
            rows = value[:1] if number == 0 and value.ndim else value[1:] if number else value
            parts[key] = rows.contiguous()
            places[key] = {"saved_offsets": [number, *[0] * (value.ndim - 1)] if value.ndim else []}
        told = {"DCP_SHARDING_INFO": json.dumps(places)}
        save_file(parts, path / f"{name}.safetensors", told)
    (path / "tensors.safetensors").unlink()
    return path


def as_written(path: Path) -> None:
    """Let the state say the checksum of the shares."""
    shares = {one.name: checksum(one) for one in path.glob("shard-*")}
    state = json.loads((path / "state.json").read_text())
    write_state(path, Progress(state["step"], state["fingerprint"]), checksum_of_files(shares))


def test_shares_are_read_as_one_and_a_share_that_is_missing_or_damaged_is_refused(tmp_path):
    tensors = gather(*trained()[:2], {})
    path = shared_out(save(tmp_path, tensors, Progress(1, 0), keep_last=1))
    as_written(path)
    read, _ = load(path)
    assert set(read) == set(tensors)
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    second = path / "shard-00002-model-00001-of-00001.safetensors"
    flipped(second, -1)
    with pytest.raises(ActionImagesError, match=r"shard-00002.* does not hold what was written"):
        load(path)
    second.unlink()
    with pytest.raises(ActionImagesError, match="does not hold what was written"):
        load(path)
    # Whoever makes checksums fit is found out where the pieces are put together.
    second.write_bytes((path / "shard-00001-model-00001-of-00001.safetensors").read_bytes())
    with pytest.raises(ActionImagesError, match=r"the pieces of .* do not make it whole"):
        dict(Stored(*sorted(path.glob("shard-*"))))
