"""The page that draws while settings are turned: controls, drawing, who may ask."""

import base64
import io
import shlex
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from starlette.testclient import TestClient

from fdsl_gen import load_recipe, render
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.sheet import brightened
from fdsl_gen.explore import controls, drawing, server
from fdsl_gen.explore.drawing import Drawer, Superseded
from fdsl_gen.variants import kinds
from tests.fdsl_gen.explore import running

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
        if (name.partition("-")[0], key) != ("mandelbulb", "image_size"):  # it takes too long
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
        ({"name": "fractal-1", "settings": {"image_size": 8192}}, "at most"),
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
    recipe = load_recipe("linedb-16", gray_min=200)
    assert len(found["tiles"]) == 24 and found["complete"]
    drawn = [render(recipe, *map(int, tile["key"].split("_"))) for tile in found["tiles"]]
    shown, factor = brightened([one.image for one in drawn])
    assert found["brightened"] == factor > 1
    for tile, one, image in zip(found["tiles"], drawn, shown, strict=True):
        assert np.array_equal(pixels(tile), image)
        assert tile["parameters"] == dict(one.parameters)


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


@pytest.mark.slow
def test_a_grid_is_drawn_while_one_turns():
    """0.12 s on a core of an EPYC; as much again and more is for slower machines."""
    drawer = Drawer()
    took = []
    for turn in range(6):
        begun = time.process_time()
        drawer.grid({"name": "fractal-1", "settings": {"delta": 0.1 + 0.02 * turn}})
        took.append(time.process_time() - begun)
    assert sorted(took[1:])[2] < 0.6


def test_masks_are_shown():
    tile = Drawer().grid({"name": "segrcdb"})["tiles"][0]
    assert pixels(tile, "mask").shape == (192, 192, 3)


def test_one_image_is_drawn_larger():
    tile = Drawer().image({"name": "linedb-16", "key": "00015_00000"})
    assert np.array_equal(pixels(tile), render("linedb-16", 15).image)
    with pytest.raises(UsageError, match="no such image"):
        Drawer().image({"name": "linedb-16", "key": "../x"})


def test_twenty_fast_changes_leave_one_rendering():
    """The newest, in whatever order they arrive, and whatever another page asks for."""
    drawer = Drawer()
    ended = {}

    def ask(turn):
        asked = {"name": "linedb-16", "settings": {"seed": turn}, "page": "one", "turn": turn}
        try:
            ended[turn] = yaml.safe_load(drawer.grid(asked)["yaml"]).get("seed", 0)
        except Superseded:
            ended[turn] = "superseded"

    turns = [*range(1, 11), 20, *range(11, 20)]
    with drawer._drawing:  # all of them wait
        threads = [threading.Thread(target=ask, args=(turn,)) for turn in turns]
        for thread in threads:
            thread.start()
        while drawer._panels.get(("one", "a"), drawing._Panel()).newest < 20:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert ended == dict.fromkeys(range(1, 20), "superseded") | {20: 20}
    assert drawer.finished == 1
    ask(5)  # arrives when all is done
    assert ended[5] == "superseded"
    assert drawer.grid({"name": "linedb-16", "page": "two", "turn": 1})["complete"]


def test_pages_that_are_gone_are_forgotten():
    drawer = Drawer()
    for page in range(2 * drawing._MOST_PANELS):
        drawer._turn({"page": page})
    assert len(drawer._panels) == drawing._MOST_PANELS


def test_a_closed_drawer_draws_nothing_more():
    drawer = Drawer()
    drawer.close()
    with pytest.raises(Superseded):
        drawer.grid({"name": "linedb-16"})


@pytest.fixture
def client():
    app = server.application("secret", PORT, "linedb-16", Drawer())
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
        ("/grid", b'{"name": "linedb-16", "panel": []}', 400),
        ("/grid", b'{"name": "linedb-16", "turn": "1"}', 400),
        ("/grid", b'{"name": "linedb-16", "turn": 1e300}', 400),
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


@pytest.mark.slow
def test_a_connection_left_open_does_not_hold_up_the_end():
    with running() as (process, address):
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            token = parts.query.removeprefix("token=")
            lines = ["POST /grid HTTP/1.1", f"host: {parts.netloc}", f"x-token: {token}"]
            connection.sendall("\r\n".join([*lines, "content-length: 9", "", "{"]).encode())
            connection.sendall(b'"')  # is read once the head was
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            process.wait(30)


def test_a_taken_port_and_an_unknown_name_are_sentences():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = CliRunner().invoke(cli, ["explore", "--no-browser", "--port", port])
    assert isinstance(found.exception, UsageError) and "another --port" in str(found.exception)
    found = CliRunner().invoke(cli, ["explore", "nothing"])
    assert isinstance(found.exception, UsageError)
