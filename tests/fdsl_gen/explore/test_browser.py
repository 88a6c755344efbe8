"""The page that draws while settings are turned, in a real browser."""

import base64
import io
import re
import shlex
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fdsl_gen import load_recipe
from fdsl_gen.cli.main import cli
from tests.fdsl_gen.explore import running

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
PATIENCE = 60_000  # milliseconds, on busy machines
ROW = 192 + 18 + 6  # pixels of a sheet: an image, its caption, a gap
PANEL = "section[data-panel=a]"


@pytest.fixture(scope="module")
def address():
    with running() as (_, found):
        yield found


@pytest.fixture(scope="module")
def browser():
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", rules], timeout=PATIENCE
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser, address):
    """The page with its first grid; it may complain of nothing."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE)
    api.expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.goto(address)
    api.expect(page.locator(f"{PANEL} .grid img")).to_have_count(24)
    yield page
    context.close()
    assert not complaints


def turn(page, setting, value):
    """Set a setting, and wait for the grid that it gives."""
    page.locator(f"{PANEL} input[type=number][name={setting}]").fill(str(value))
    drawn = re.compile(f"--{setting.replace('_', '-')} {value}( |$)")
    api.expect(page.locator(f"{PANEL} .shown")).to_have_text(drawn)


def seen(page):
    """The pictures of the grid."""
    sources = page.locator(f"{PANEL} .grid img").evaluate_all("all => all.map(one => one.src)")
    found = [base64.b64decode(source.partition(",")[2]) for source in sources]
    return [np.asarray(Image.open(io.BytesIO(data))) for data in found]


def test_a_changed_setting_changes_the_grid(page):
    before = seen(page)
    turn(page, "gray_min", 200)
    after = seen(page)
    assert len(before) == len(after) == 24
    assert not all(map(np.array_equal, before, after))


def test_of_twenty_fast_changes_one_is_drawn(page):
    page.locator(f"{PANEL} input[type=number][name=seed]").evaluate(
        """box => {
            window.grids = 0;
            new MutationObserver(() => { window.grids += 1; }).observe(
                document.querySelector("section[data-panel=a] .grid"), {childList: true});
            for (let seed = 1; seed <= 20; seed++) {
                box.value = seed;
                box.dispatchEvent(new Event("input", {bubbles: true}));
            }
        }"""
    )
    api.expect(page.locator(f"{PANEL} .shown")).to_contain_text("--seed 20")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.grids") == 1
    assert "--seed 20" in page.locator(f"{PANEL} .shown").text_content()
    assert page.locator(f"{PANEL} .grid.waiting").count() == 0


def test_the_copied_command_draws_the_pictures_seen(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    turn(page, "gray_min", 220)
    turn(page, "seed", 7)
    page.get_by_role("button", name="copy command").click()
    api.expect(page.locator("#told")).to_have_text("command copied")
    program, *words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert program == "fdsl-gen"
    assert CliRunner().invoke(cli, words).exit_code == 0
    with page.expect_download() as downloading:
        page.get_by_role("button", name="download sheet").click()
    downloading.value.save_as("sheet.png")
    written = (tmp_path / "preview.png").read_bytes()
    assert written == (tmp_path / "sheet.png").read_bytes()
    sheet = np.asarray(Image.open(io.BytesIO(written)).convert("L"))
    head = len(sheet) - 4 * ROW
    for place, image in enumerate(seen(page)):
        top, left = head + place // 6 * ROW, 6 + place % 6 * 198
        assert np.array_equal(sheet[top : top + 192, left : left + 192], image)
    page.get_by_role("button", name="copy YAML").click()
    api.expect(page.locator("#told")).to_have_text("YAML copied")
    (tmp_path / "mine.yaml").write_text(page.evaluate("navigator.clipboard.readText()"))
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert (recipe.seed, recipe.variant.gray_min) == (7, 220)


def test_images_are_looked_at_by_keyboard(page):
    page.locator(f"{PANEL} .grid button").nth(23).focus()
    api.expect(page.locator(f"{PANEL} .parameters")).to_contain_text("num_lines")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] img")
    page.keyboard.press("Escape")
    api.expect(page.locator("dialog")).to_be_hidden()
    page.check("#two")
    api.expect(page.locator("section[data-panel=b] .grid img")).to_have_count(24)


def test_another_origin_is_refused(browser, address):
    """A page of another host, even with the token and a name that leads to this machine."""
    parts = urlsplit(address)
    page = browser.new_page()
    answers = []
    page.on("response", lambda answer: answers.append((answer.url, answer.status)))
    other = f"http://evil.example:{parts.port}"
    page.goto(f"{other}/?{parts.query}")
    told = page.evaluate(
        """async (url) => {
            const body = JSON.stringify({name: "linedb-16"});
            return (await fetch(url, {method: "POST", body, mode: "no-cors"})).type;
        }""",
        grid := f"http://{parts.netloc}/grid?{parts.query}",
    )
    assert told == "opaque"  # it learns nothing
    assert (f"{other}/?{parts.query}", 403) in answers
    assert answers[-1] == (grid, 403)
    page.close()


def test_a_missing_token_is_refused(browser, address):
    page = browser.new_page()
    assert page.goto(address.partition("?")[0]).status == 403
    assert "its token is missing" in page.content()
    page.close()


def test_hostile_values_are_refused(browser, address):
    page = browser.new_page()
    page.goto(address)
    told = page.evaluate(
        """async (all) => Promise.all(all.map((settings) =>
            ask("/grid", {name: "linedb-16", settings}).then(() => "drawn", (e) => e.message)))""",
        [{"seed": 2**60}, {"gray_min": -1}, {"categories_from": "/etc/passwd"}],
    )
    assert ["at most" in told[0], "gray_min" in told[1], "no setting" in told[2]] == 3 * [True]
    page.close()
