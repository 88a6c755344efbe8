"""The page that draws while settings are turned: controls, drawing, who may ask."""

import base64
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from starlette.testclient import TestClient

from fdsl_gen import load_recipe, render
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_gen.explore import controls, server
from fdsl_gen.explore.drawing import Drawer, Superseded
from fdsl_gen.variants import kinds
from tests import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PORT = 8123
HOST = f"127.0.0.1:{PORT}"


def pixels(tile, what="png"):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(tile[what]))))


@pytest.mark.parametrize("name", [name for name, _ in controls.names()])
def test_controls_hold_the_values_of_the_recipe(name):
    recipe = load_recipe(name)
    found = {control["name"]: control for control in controls.controls_of(name)}
    assert {"seed"} <= set(found)
    for key, control in found.items():
        owner = recipe if key in ("seed", "num_categories") else recipe.variant
        assert control["value"] == getattr(owner, key)
        if control["kind"] in ("int", "float"):
            assert control["low"] <= control["value"] <= control["high"], key


def test_every_kind_but_that_of_pictures_can_be_explored():
    shown = {load_recipe(name).variant.KIND for name, _ in controls.names()}
    assert shown == set(kinds()) - {"real-1"}


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({}, "no recipe"),
        ({"name": "/etc/passwd"}, "no recipe"),
        ({"name": "../recipes/fractal-1.yaml"}, "no recipe"),
        ({"name": ["fractal-1"]}, "no recipe"),
        ({"name": "fractal-1", "settings": []}, "mapping"),
        ({"name": "fractal-1", "settings": {"image_size": 8192}}, "no setting"),
        ({"name": "fractal-1", "settings": {"base": "/etc/passwd"}}, "no setting"),
        ({"name": "fractal-1", "settings": {"categories_from": "x.csv"}}, "no setting"),
        ({"name": "fractal-1", "settings": {"num_points": 10**9}}, "at most"),
        ({"name": "fractal-1", "settings": {"delta": -1}}, "delta"),
        ({"name": "fractal-1", "settings": {"delta": {"a": 1}}}, "one value"),
        ({"name": "fractal-1", "settings": {"draw": "nothing"}}, "draw"),
        ({"name": "fractal-1", "settings": {"seed": 2**70}}, "at most"),
    ],
)
def test_hostile_requests_are_refused(asked, word):
    with pytest.raises(UsageError, match=word):
        controls.recipe_from(asked)


def test_tiles_are_the_images_of_the_dataset():
    found = Drawer().grid({"name": "linedb-16", "settings": {"gray_min": 200}})
    recipe = load_recipe("linedb-16", gray_min=200, image_size=controls.SIDE)
    assert len(found["tiles"]) == 24 and found["complete"]
    for tile in found["tiles"][::7]:
        category, instance = map(int, tile["key"].split("_"))
        drawn = render(recipe, category, instance)
        assert np.array_equal(pixels(tile), drawn.image)
        assert tile["parameters"] == dict(drawn.parameters)


@pytest.mark.parametrize("name", ["linedb-16", "fractal-1", "segrcdb"])
def test_the_command_draws_the_grid_seen(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"name": name, "settings": {"seed": 3}}
    found = Drawer().grid(asked)
    program, *words = shlex.split(found["command"])
    assert program == "fdsl-gen"
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert (tmp_path / "preview.png").read_bytes() == Drawer().sheet(asked)
    (tmp_path / "mine.yaml").write_text(found["yaml"])
    same, _ = controls.recipe_from(asked)
    assert load_recipe(tmp_path / "mine.yaml").identity == same.identity


def test_masks_are_shown():
    tile = Drawer().grid({"name": "segrcdb"})["tiles"][0]
    assert pixels(tile, "mask").shape == (controls.SIDE, controls.SIDE, 3)


def test_one_image_is_drawn_larger():
    tile = Drawer().image({"name": "linedb-16", "key": "00015_00000"})
    assert pixels(tile).shape == (controls.ZOOM, controls.ZOOM)
    with pytest.raises(UsageError, match="no such image"):
        Drawer().image({"name": "linedb-16", "key": "../x"})


def test_twenty_fast_changes_leave_one_rendering():
    drawer = Drawer()
    ended = []

    def ask(seed):
        try:
            drawer.grid({"name": "linedb-16", "settings": {"seed": seed}})
            ended.append("drawn")
        except Superseded:
            ended.append("superseded")

    with drawer._drawing:  # all of them wait
        threads = [threading.Thread(target=ask, args=(k,)) for k in range(20)]
        for thread in threads:
            thread.start()
        while drawer._panels["a"].newest < 20:
            pass
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["drawn"] + 19 * ["superseded"]
    assert drawer.finished == 1


@pytest.fixture
def client():
    app = server.application("secret", PORT, "linedb-16")
    with TestClient(app, base_url=f"http://{HOST}") as client:
        yield client


def test_the_page_needs_its_token(client):
    assert client.get("/").status_code == 403
    assert client.get("/?token=guess").status_code == 403
    found = client.get("/?token=secret")
    assert found.status_code == 200 and "<title>fdsl explore" in found.text
    assert client.post("/start", json={}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": f"evil.example:{PORT}"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"x-token": "wrong"},
        {"x-token": "s\u00e9cret".encode("latin-1")},
    ],
    ids=str,
)
def test_others_are_refused(client, headers):
    found = client.post("/start", json={}, headers={"x-token": "secret"} | headers)
    assert found.status_code == 403
    assert list(found.json()) == ["error"]


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/grid", b"", 400),
        ("/grid", b"[]", 400),
        ("/grid", b'{"name": 1}', 400),
        ("/grid", b'{"name": "linedb-16", "panel": "c"}', 400),
        ("/grid", b"[" * 60_000, 400),
        ("/grid", b" " * 70_000, 413),
        ("/controls", b"{}", 400),
        ("/image", b'{"name": "linedb-16"}', 400),
        ("/..%2f..%2fetc/passwd", b"{}", 404),
        ("/server.py", b"{}", 404),
    ],
)
def test_bad_requests_get_a_sentence(client, path, content, status):
    found = client.post(path, content=content, headers={"x-token": "secret"})
    assert found.status_code == status


def test_the_server_answers_with_what_the_page_shows(client):
    headers = {"x-token": "secret", "origin": f"http://{HOST}"}
    assert client.post("/start", json={}, headers=headers).json()["first"] == "linedb-16"
    asked = {"name": "linedb-16"}
    assert client.post("/controls", json=asked, headers=headers).json()
    assert len(client.post("/grid", json=asked, headers=headers).json()["tiles"]) == 24
    assert client.post("/sheet", json=asked, headers=headers).content[:4] == b"\x89PNG"
    assert "self" in client.get("/page.js").headers["content-security-policy"]


@pytest.fixture
def address():
    """A running server, as the command starts it."""
    command = [sys.executable, "-m", "fdsl_gen.cli", "explore", "linedb-16", "--no-browser"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_in_a_browser_a_setting_changes_the_grid(address):
    api = pytest.importorskip("playwright.sync_api")
    expect = api.expect
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(address)
        first = "section[data-panel=a] .grid img"
        page.wait_for_selector(first, timeout=60_000)
        assert page.locator(first).count() == 24
        before = page.locator(first).nth(23).get_attribute("src")
        box = page.locator("section[data-panel=a] input[type=number][name=gray_min]")
        for value in range(100, 120):  # twenty fast changes
            box.fill(str(value))
        shown = page.locator("section[data-panel=a] .shown")
        expect(shown).to_contain_text("--gray-min 119", timeout=60_000)
        assert page.locator(first).nth(23).get_attribute("src") != before
        page.locator("section[data-panel=a] .grid button").nth(23).focus()
        assert "num_lines" in page.locator("section[data-panel=a] .parameters").text_content()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open] img", timeout=60_000)
        page.keyboard.press("Escape")
        page.check("#two")
        page.wait_for_selector("section[data-panel=b] .grid img", timeout=60_000)
        browser.close()
    assert not complaints


def test_a_taken_port_and_an_unknown_name_are_sentences():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = CliRunner().invoke(cli, ["explore", "--no-browser", "--port", port])
    assert isinstance(found.exception, UsageError) and "another --port" in str(found.exception)
    found = CliRunner().invoke(cli, ["explore", "nothing"])
    assert isinstance(found.exception, UsageError)
