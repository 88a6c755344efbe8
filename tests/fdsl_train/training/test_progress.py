"""What a run says while it runs."""

import pytest

from fdsl_train.training import progress
from fdsl_train.training.progress import Progress


def test_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="fdsl_train")
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False)
    shown = Progress(total=1000, start=100)
    shown.show({"loss": 6.5, "lr": 1e-3, "images_per_s": 250.0, "data_wait": 0.125})
    for done in range(101, 201):
        now += 1.0
        shown.step(done)
    numbers = "loss 6.5000, lr 1.00e-03, images/s 250, data wait 12 %"
    assert caplog.messages == [
        f"step 105/1000, {numbers}, 14:55 to go",
        f"step 135/1000, {numbers}, 14:25 to go",
        f"step 165/1000, {numbers}, 13:55 to go",
        f"step 195/1000, {numbers}, 13:25 to go",
    ]
    assert shown.elapsed == "1:40"


@pytest.mark.parametrize(("columns", "last"), [(80, "loss 6.5000]"), (120, "data wait 12 %]")])
def test_a_bar_on_a_terminal(
    columns: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="fdsl_train")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = Progress(total=240_000, start=239_998)
    shown.show({"loss": 6.5, "lr": 1e-3, "images_per_s": 250.0, "data_wait": 0.125})
    shown.step(239_999)
    shown.step(240_000)
    shown.close()
    assert caplog.messages == []
    drawn = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert drawn.startswith("100 %|") and "240000/240000" in drawn and "step/s" in drawn
    assert drawn.endswith(last)
    bar = drawn.split("|")[1]
    assert len(bar) >= 10 and len(drawn) <= columns
