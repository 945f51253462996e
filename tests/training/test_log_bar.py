"""A run's log on a terminal: a bar that counts its steps, and lines above it."""

from pathlib import Path

from accelerate import Accelerator

from action_images.training.log import Log


def test_a_terminal_is_shown_how_far_a_run_is(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    log = Log(Accelerator(cpu=True), tmp_path, num_steps=4, first_step=1, config=None)
    with log:
        for step in (1, 2, 3):
            log.step(step, loss=1.0, norm=1.0, rate=1e-3, num_samples=2)
    shown = capsys.readouterr().out
    assert "4/4" in shown
    assert "loss 1.0000" in shown


def test_a_file_is_shown_lines_alone(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    log = Log(Accelerator(cpu=True), tmp_path, num_steps=2, first_step=0, config=None)
    with log:
        log.step(1, loss=1.0, norm=1.0, rate=1e-3, num_samples=2)
    assert "━" not in capsys.readouterr().out
