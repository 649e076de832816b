"""The site in a real browser: the playground against the engine, and every page without a network.

The site is built by `mkdocs build --strict`; CI does so before it runs these.
"""

import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import tinygrad_scalar
from tinygrad_scalar import Value, data, exp, nn, optim, strategies, testing

SITE = Path(__file__).parents[2] / "site"
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        not (SITE / "index.html").exists(), reason="build it: mkdocs build --strict"
    ),
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and its driver are not here"),
]
PAGES = (
    "index.html",
    "gallery.html",
    "faq.html",
    "reference/functions.html",
    "notebooks/first_steps.html",
)


class Quiet(SimpleHTTPRequestHandler):
    """A server that keeps its log to itself."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def until(browser, condition, seconds=60):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, poll_frequency=0.05).until(lambda _: condition())


def part(browser, name):
    return browser.find_element("css selector", f'[data-part="{name}"]')


def complaints(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def playground(browser, address):
    browser.get("about:blank")
    browser.get(f"{address}/index.html")
    root = browser.find_element("id", "playground")
    until(browser, lambda: root.get_attribute("data-state") != "loading")
    assert root.get_attribute("data-state") == "ready", part(browser, "status").text
    return browser


def type_expression(browser, text):
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
        part(browser, "expression"),
        text,
    )


def table(browser):
    return {
        cells[0]: cells[-1]
        for cells in browser.execute_script(
            "return [...document.querySelectorAll('[data-part=table] tr')]"
            ".map(row => [...row.children].map(cell => cell.textContent))"
        )
    }


def test_the_table_is_the_engines(playground):
    type_expression(playground, "x*y + exp(x*y)")
    until(playground, lambda: "exp(x × y)" in part(playground, "value").text)
    x, y = Value(1.0, label="x"), Value(1.0, label="y")
    gradients = (x * y + exp(x * y)).backward()
    assert float(table(playground)["x"]) == pytest.approx(gradients[x], rel=1e-9)
    assert float(table(playground)["y"]) == pytest.approx(gradients[y], rel=1e-9)
    assert playground.find_elements("css selector", '[data-part="picture"] svg')


def test_a_slider_moves_value_and_gradient(playground):
    type_expression(playground, "a**2")
    until(playground, lambda: "a" in table(playground))
    playground.execute_script(
        "const s = document.querySelector('[data-part=sliders] input');"
        "s.value = 3; s.dispatchEvent(new Event('input'))"
    )
    until(playground, lambda: table(playground)["a"] == "6")
    assert "= 9.0" in part(playground, "value").text


def test_while_a_slider_moves_the_picture_shows_the_numbers_that_it_shows_at_rest(playground):
    type_expression(playground, "x*x*sin(x) + y")
    until(playground, lambda: "sin(x)" in part(playground, "value").text)
    labels = (
        "return [...document.querySelectorAll('[data-part=picture] g text')]"
        ".map(text => text.textContent).sort()"
    )
    before = playground.execute_script(labels)
    playground.execute_script(
        "window.svg = document.querySelector('[data-part=picture] svg');"
        "const s = document.querySelector('[data-part=sliders] input');"
        "s.value = 3; s.dispatchEvent(new Event('input'))"
    )
    until(playground, lambda: table(playground)["x"] != before and "3" in table(playground)["x"])
    moving = playground.execute_script(labels)
    assert moving != before
    until(  # it is laid out anew once the slider rests
        playground,
        lambda: playground.execute_script(
            "return window.svg !== document.querySelector('[data-part=picture] svg')"
        ),
    )
    assert playground.execute_script(labels) == moving


def test_a_link_carries_the_expression(browser, address):
    browser.get("about:blank")
    browser.get(f"{address}/index.html#e=u*v&u=3&v=4")
    until(browser, lambda: "= 12.0" in part(browser, "value").text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "<img src=x onerror=alert(1)>",
        "x.__class__",
        "9**9**9",
        "(" * 5000,
        "x+" * 3000 + "x",
        "-" * 999 + "x",
        "log(-1)",
        "x*",
    ],
)
def test_what_is_wrong_or_hostile_is_told_and_runs_nothing(playground, text):
    type_expression(playground, text)
    until(playground, lambda: part(playground, "error").text)
    assert (
        playground.execute_script("return document.querySelectorAll('#playground img').length") == 0
    )
    type_expression(playground, "x + 1")
    until(playground, lambda: not part(playground, "error").text)


def test_back_propagation_is_stepped_through(playground):
    type_expression(playground, "x*x")
    until(playground, lambda: part(playground, "step").is_enabled())
    playground.execute_script("arguments[0].click()", part(playground, "step"))
    frame = until(
        playground, lambda: playground.find_elements("css selector", '[data-part="steps"] iframe')
    )[0]
    playground.switch_to.frame(frame)
    until(playground, lambda: playground.find_elements("css selector", "table tr"))
    playground.switch_to.default_content()


def test_the_prompt_is_python_with_everything_imported(playground):
    playground.execute_script("document.getElementById('playground-tab-python').click()")
    for line in ("x = Value(2.0)", "(x * x).backward()[x]", "1 / 0"):
        part(playground, "line").send_keys(line + "\n")
    until(playground, lambda: "ZeroDivisionError" in part(playground, "console").text)
    assert "\n4.0\n" in part(playground, "console").text


def test_a_python_that_has_stopped_is_started_anew(playground):
    playground.execute_script("document.getElementById('playground-tab-python').click()")
    part(playground, "line").send_keys("import ast; ast.parse('x+' * 5000 + 'x')\n")
    until(playground, lambda: "start it anew" in part(playground, "console").text)
    playground.get_log("browser")  # where Pyodide complains
    part(playground, "restart").click()
    until(
        playground,
        lambda: playground.find_element("id", "playground").get_attribute("data-state") == "ready",
    )
    part(playground, "line").send_keys("1 + 1\n")
    until(playground, lambda: part(playground, "console").text.endswith("\n2"))


def test_a_network_learns(playground):
    playground.execute_script("document.getElementById('playground-tab-training').click()")
    playground.execute_script("arguments[0].click()", part(playground, "train"))
    until(playground, lambda: "accuracy 100" in part(playground, "loss").text)


def test_tabs_are_walked_by_keyboard(playground):
    first = playground.find_element("id", "playground-tab-expression")
    first.send_keys("\ue014")  # the right arrow
    assert playground.switch_to.active_element.get_attribute("id") == "playground-tab-python"


def test_all_of_it_is_reached_by_keyboard_and_has_a_name(playground):
    """What can be focused, by the Tab key, has a name that a screen reader tells."""
    type_expression(playground, "x*y")
    until(playground, lambda: "y" in table(playground))
    playground.execute_script("document.getElementById('playground-tab-expression').focus()")
    names = []
    for _ in range(9):
        names.append(playground.switch_to.active_element.accessible_name)
        playground.switch_to.active_element.send_keys("\ue004")  # the Tab key
    wanted = ["Expression", "Expression", "x", "y", "Step through back-propagation"]
    assert [name.partition(" ·")[0] for name in names if name in wanted] == wanted
    assert all(names), names
    slider = playground.find_element("css selector", "[data-part=sliders] input")
    slider.send_keys("\ue014")  # the right arrow
    until(playground, lambda: table(playground)["y"] == "1.01")
    assert slider.get_attribute("aria-valuetext") == "1.01, derivative 1.00000"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(playground, width):
    playground.set_window_size(width, 1000)
    until(  # the page answers a resize with its own scripts, after the window has its size
        playground,
        lambda: playground.execute_script(
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ),
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_from_a_folder_asks_for_nothing_else(browser, page):
    browser.get_log("browser")
    browser.get((SITE / page).as_uri())
    urls = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert [url for url in urls if url.startswith("http")] == []
    assert complaints(browser) == []


def test_the_search_works_from_a_folder(browser):
    browser.get((SITE / "faq.html").as_uri())
    browser.set_window_size(1280, 1000)
    browser.execute_script("document.querySelector('[data-md-toggle=search]').click()")
    browser.find_element("css selector", "input.md-search__input").send_keys("checkpoint")
    until(browser, lambda: browser.find_elements("css selector", ".md-search-result__item"))


def test_the_playground_from_a_folder_says_how_to_serve_it(browser):
    browser.get((SITE / "index.html").as_uri())
    until(browser, lambda: "http.server" in part(browser, "status").text)


def test_without_webassembly_it_is_said(browser, address):
    script = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete self.WebAssembly"}
    )
    browser.get("about:blank")
    browser.get(f"{address}/index.html")
    until(browser, lambda: "WebAssembly" in part(browser, "status").text)
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_the_manifest_lists_what_is_there():
    manifest = json.loads((SITE / "vendor" / "manifest.json").read_text())
    assert all((SITE / "vendor" / name).exists() for name in manifest["runtime"])
    assert any("tinygrad_scalar" in name for name in manifest["wheels"])


# ── without a browser ─────────────────────────────────────────────────────────────────────────
LINK = re.compile(r'<[^>]*?\s(?:href|src)="?([^"\s>]+)')
ANCHOR = re.compile(r'<[^>]*?\s(?:id|name)="?([^"\s>]+)')


def broken_links(place):
    """Links of the pages in a folder to what is not there, as (page, link)."""
    pages = {path: path.read_text(encoding="utf-8") for path in place.rglob("*.html")}
    anchors = {path: set(ANCHOR.findall(text)) for path, text in pages.items()}
    for page, text in pages.items():
        for link in LINK.findall(text):
            scheme, host, path, _, anchor = urlsplit(link.replace("&amp;", "&"))
            if scheme or host or page.name == "404.html":  # its links are absolute
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            known = target not in anchors or unquote(anchor) in {"", *anchors[target]}
            if not target.exists() or not known:
                yield page.name, link


def test_every_link_and_anchor_of_every_page_is_there():
    assert list(broken_links(SITE)) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id=x>A</h1><a href="#x">1</a><a href="b.html">2</a><a href=a.html#y>3</a>'
        '<img src="c.png"><a href="https://example.org/d">4</a>'
    )
    assert [link for _, link in broken_links(tmp_path)] == ["b.html", "a.html#y", "c.png"]


def test_every_function_and_class_has_an_entry_in_the_reference():
    text = "".join(map(Path.read_text, (SITE / "reference").glob("*.html")))
    entries = re.findall(r'<h\d id="tinygrad_scalar[^"]*?([^".]+)"', text)
    public = {
        name
        for home in (tinygrad_scalar, nn, optim, data, testing, strategies)
        for name in (getattr(home, "__all__", None) or dir(home))
        if callable(getattr(home, name)) and not name.startswith("_")
    }
    of_values = {"backward", "zero_grad", "detach", "label", "parents", "local_derivatives"}
    # told in a sentence there, as they are `math`'s; and a type for type checkers
    of_math = {"fabs", "comb", "factorial", "gcd", "isqrt", "lcm", "perm"}
    of_math |= {"frexp", "nextafter", "ulp"}
    assert (public | of_values) - {*entries, *of_math, "Schedule"} == set()
    assert all(f"<code>{name}</code>" in text for name in of_math)


def test_functions_of_lists_are_shown_as_they_are_called():
    text = (SITE / "reference" / "functions.html").read_text(encoding="utf-8")
    for head in ("mean(values)", "dot(xs, ys)", "cross_entropy(logits, target)", "sin(x)"):
        assert f"<code>{head}</code></a>" in text


@pytest.mark.parametrize(
    "words",
    [
        "second derivative",
        "jacobian",
        "save a model",
        "function of my own",
        "Ctrl-C",
        "threads",
        "float32",
        "complex numbers",
        "NaN",
        "sparse",
        "GPU",
        "C code",
        "minimise",
        "minimize",
        "train a network",
        "Graphviz is missing",
    ],
)
def test_what_people_look_up_is_there(words):
    index = json.loads((SITE / "search" / "search_index.json").read_text(encoding="utf-8"))
    told = [f"{part['title']} {part['text']}".lower() for part in index["docs"]]
    assert any(words.lower() in text for text in told)
