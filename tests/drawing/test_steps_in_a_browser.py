"""The page of steps in a real browser: played to its end it shows what the engine computes.

Needs Chromium and its driver (`apt-get install chromium chromium-driver`); where they are missing
these tests are skipped, and say so.
"""

import pytest

from tinygrad_scalar import Value, relu, scope, topological_order
from tinygrad_scalar.drawing import draw, steps

HOSTILE = '<img src=x onerror=alert(1)> & "q" </td></script>'


class Page:
    """What a learner can see and do."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(path.as_uri())

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def click(self, name):
        self.browser.find_element("id", name).click()

    def slide(self, position):
        self.run(
            "const s = document.querySelector('input[type=range]'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input', {bubbles: true}))",
            position,
        )

    def position(self):
        return int(self.run("return document.querySelector('input[type=range]').value"))

    def table(self):
        return self.run(
            "return [...document.querySelectorAll('tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.textContent))"
        )

    def text(self, name):
        return self.run("return document.getElementById(arguments[0]).innerText", name)

    def picture(self, key):
        """The lines of a node in the picture."""
        return self.run(
            "return [...document.getElementById(arguments[0]).querySelectorAll('text')]"
            ".map(text => text.textContent)",
            key,
        )

    def own_lines(self, key):
        """Those of them that are no local derivatives of its operation."""
        return self.run(
            "return [...document.getElementById(arguments[0])"
            ".querySelectorAll('text:not(.slope)')].map(text => text.textContent)",
            key,
        )

    def highlighted(self):
        return self.run(
            "return [...document.querySelectorAll('#picture .fires, #picture .feeds, "
            "#picture .active')].map(e => e.id)"
        )

    def errors(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] != "INFO"]


@pytest.fixture
def open_page(browser, tmp_path):
    pages = []

    def opened(z, **options):
        steps(z, **options).save(tmp_path / "steps.html")
        pages.append(Page(browser, tmp_path / "steps.html"))
        return pages[-1]

    yield opened
    assert all(page.errors() == [] for page in pages)


def neuron():
    """An expression with shared nodes, every kind of label, and a gradient of 0."""
    x, w = Value(2.0, label="x"), Value(-3.0, label=HOSTILE)
    a = x * w
    loss = relu(a) + a.tanh() * x + x**2 / 3.0
    loss.label = "L"
    return loss


def test_stepping_to_the_end_fills_the_table_as_the_engine_does(open_page):
    from selenium.webdriver.common.keys import Keys

    z = neuron()
    page = open_page(z)
    names = [name for name, _, _ in page.table()]
    assert [entry for _, _, entry in page.table()] == [""] * len(names)
    last = int(page.run("return document.querySelector('input[type=range]').max"))
    page.press(*[Keys.ARROW_RIGHT] * last)
    assert page.position() == last
    table = z.backward()
    assert last == sum(node.primitive is not None for node in table) + 1 + table.edges
    by_name = {node.label: node for node in table if node.label}
    shown = {name: (float(value), float(entry)) for name, value, entry in page.table()}
    assert len(shown) == len(table)
    for label, node in by_name.items():
        assert shown[label] == pytest.approx((node.data, table[node]), rel=1e-9)
    pairs = sorted((node.data, gradient) for node, gradient in table.items())
    for seen, expected in zip(sorted(shown.values()), pairs, strict=True):
        assert seen == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_going_back_undoes_every_step(open_page):
    from selenium.webdriver.common.keys import Keys

    page = open_page(neuron())
    forward = []
    for position in range(16):
        page.slide(position)
        forward.append((page.table(), page.highlighted(), page.text("rule"), page.picture("u1")))
    for position in reversed(range(15)):
        page.press(Keys.ARROW_LEFT)
        seen = (page.table(), page.highlighted(), page.text("rule"), page.picture("u1"))
        assert page.position() == position
        assert seen == forward[position]


def test_the_line_and_the_lights_of_a_step(open_page):
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    z = x * y
    z.label = "z"
    page = open_page(z * z)
    assert page.highlighted() == []
    page.slide(1)
    assert page.text("rule") == "z = x × y = 2.0 × 3.0 = 6.0"
    assert sorted(page.highlighted()) == ["e3_0", "e3_1", "f3", "r3", "u3"]
    page.slide(6)
    assert page.text("rule") == "grad x += grad z · ∂z/∂x = 12.0 × 3.0 = 36.0"
    assert sorted(page.highlighted()) == ["e3_0", "u1", "u3"]
    assert page.picture("u1") == ["x", "2.0", "grad 36.0"]
    assert page.picture("u2") == ["y", "3.0", ""]


def test_what_is_added_to_an_entry_is_shown_with_it(open_page):
    x = Value(3.0, label="x")
    page = open_page(x * x)
    page.slide(3)
    assert page.text("total") == ""
    page.slide(4)
    assert page.text("numbers") == "= 1.0 × 3.0 = 3.0"
    assert page.text("total") == "3.0 + 3.0 = 6.0"
    spoken = page.run("return document.getElementById('slider').ariaValueText")
    assert spoken.endswith("3.0 + 3.0 = 6.0")


def test_no_number_is_wider_than_its_box_at_any_step(open_page):
    x = Value(1.0, label="x")
    page = open_page(x * (1 / 3) + x * (2 / 3))  # 0.333333 on the way to 1.0
    wider = (
        "return [...document.querySelectorAll('#picture .node')].filter(node => {"
        "const box = node.querySelector('path, ellipse').getBBox();"
        "return [...node.querySelectorAll('text')].filter(t => t.textContent).some(text => {"
        "const t = text.getBBox(); return t.x < box.x || t.x + t.width > box.x + box.width})})"
        ".map(node => node.id)"
    )
    last = int(page.run("return document.getElementById('slider').max"))
    seen = []
    for position in range(last + 1):
        page.slide(position)
        assert page.run(wider) == []
        seen.append(page.picture("u1")[-1])
    assert seen[-2:] == ["grad 0.666667", "grad 1.0"]


@pytest.mark.parametrize("large", [False, True])
def test_local_derivatives_appear_when_they_are_computed(open_page, large):
    """Before the step of its edge none is shown; a large picture has them in its boxes."""
    x = Value(0.5, label="x")
    z = x
    for i in range(45 if large else 5):
        z = z * x + float(i)  # no two alike
    page = open_page(z)
    seen = (
        "return [...document.querySelectorAll('#picture .edge text, #picture text.slope')]"
        ".filter(text => getComputedStyle(text).visibility === 'visible').length"
    )
    operations = sum(node.primitive is not None for node in topological_order(z))
    edges = z.backward().edges
    for position, expected in ((0, 0), (operations + 1, 0), (operations + 4, 3), (9999, edges)):
        page.slide(position)
        assert page.run(seen) == expected
    page.slide(operations + 2)
    assert page.run(seen) == 1


def test_on_a_wall_the_picture_fills_the_page_and_the_keys_are_shown(open_page, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    page = open_page(neuron())
    where = (
        "const of = (s) => document.querySelector(s).getBoundingClientRect();"
        "const size = (s) => parseFloat(getComputedStyle(document.querySelector(s)).fontSize);"
        "const stage = of('.stage'), svg = of('#picture > svg');"
        "return [of('#keys').width > 0, of('#entries').width > 0, size('#rule'),"
        " Math.min(stage.width - svg.width, stage.height - svg.height)]"
    )
    keys, table, letters, _ = page.run(where)
    assert (keys, table) == (False, True)
    page.press("f")
    wait = WebDriverWait(browser, 30)
    wait.until(lambda _: page.run("return Boolean(document.fullscreenElement)"))
    wait.until(lambda _: 0 <= page.run(where)[3] < 40)
    keys, table, large, _ = page.run(where)
    assert (keys, table) == (True, False)
    assert large > letters
    page.press("f")
    wait.until(lambda _: page.run("return !document.fullscreenElement"))
    assert page.run(where)[:3] == [False, True, letters]


def test_markup_in_a_label_is_shown_as_text(open_page):
    page = open_page(neuron())
    assert HOSTILE in [name for name, _, _ in page.table()]
    assert page.run("return document.querySelectorAll('img').length") == 0
    assert page.run(
        "return [...document.querySelectorAll('#picture text')].some("
        "text => text.textContent.replaceAll('\\u00a0', ' ') === arguments[0])",
        HOSTILE,
    )


def test_buttons_and_keys(open_page):
    from selenium.webdriver.common.keys import Keys

    page = open_page(neuron())
    page.click("forward")
    page.click("forward")
    page.click("back")
    assert page.position() == 1
    page.click("last")
    last = page.position()
    assert page.text("about").endswith("Every gradient is final.")
    page.press(Keys.HOME)
    assert page.position() == 0
    page.press(Keys.END)
    assert page.position() == last
    page.click("first")
    assert page.position() == 0


def test_play_steps_by_itself_until_it_is_paused(open_page, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    page = open_page(neuron())
    page.click("play")
    WebDriverWait(browser, 30).until(lambda _: page.position() >= 2)
    assert page.run("return document.getElementById('play').ariaLabel") == "Pause"
    page.press(" ")
    assert page.run("return document.getElementById('play').ariaLabel") == "Play"


def test_it_can_be_used_without_sight(open_page):
    page = open_page(neuron())
    unnamed = page.run(
        "return [...document.querySelectorAll('button, input, section, nav')]"
        ".filter(e => !e.ariaLabel && e.id !== 'line').length"
    )
    assert unnamed == 0
    page.slide(9)
    spoken = page.run("return document.querySelector('input[type=range]').ariaValueText")
    assert spoken.startswith("Step 9 of ")
    assert "∂L/∂L = 1.0" in spoken
    assert page.run("return document.getElementById('line').ariaLive") == "polite"
    assert page.run("return document.querySelector('#picture > svg').role") == "img"


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_it_follows_the_scheme_of_the_reader(open_page, browser, scheme, bright):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page = open_page(neuron())
    colours = page.run(
        "const of = (e, what) => getComputedStyle(document.querySelector(e))[what];"
        "return [of('.stage', 'backgroundColor'), of('#u1 path', 'fill')]"
        ".map(c => c.match(/\\d+/g).map(Number).reduce((a, b) => a + b))"
    )
    assert [colour > 3 * 128 for colour in colours] == [bright, bright]
    text = page.run("return getComputedStyle(document.querySelector('#u1 text')).fill")
    assert (text == "rgb(31, 35, 40)") is bright


def test_it_fits_a_phone(open_page, browser):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = open_page(neuron())
        page.slide(12)
        assert page.run("return document.documentElement.scrollWidth") == 360
        assert page.run("return document.documentElement.scrollHeight") == 740
        for part in ("picture", "line", "entries", "slider", "play"):
            box = page.run(
                "const r = document.getElementById(arguments[0]).getBoundingClientRect();"
                "return [r.left, r.top, r.right, r.bottom, r.width * r.height]",
                part,
            )
            assert box[0] >= 0
            assert box[1] >= 0
            assert box[2] <= 360
            assert box[3] <= 740
            assert box[4] > 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_closed_scopes_are_stepped_through_as_boxes(open_page):
    x = Value(1.5, label="x")
    with scope("inner"):
        y = x.sin() * x
    z = y + x * x
    page = open_page(z, depth=0)
    page.slide(99)
    shown = {name: entry for name, _, entry in page.table()}
    assert float(shown["x"]) == pytest.approx(z.backward()[x], rel=1e-9)
    assert shown["inner"].startswith("norm ")


def test_the_frame_of_a_notebook_runs(browser, tmp_path):
    (tmp_path / "notebook.html").write_text(
        f"<!doctype html><meta charset=utf-8>{steps(neuron())._repr_html_()}", encoding="utf-8"
    )
    page = Page(browser, tmp_path / "notebook.html")
    browser.switch_to.frame(0)
    page.slide(3)
    assert page.text("count").startswith("3 of ")
    browser.switch_to.default_content()
    assert page.errors() == []


def test_colours_by_gradient_stay_in_the_dark(browser, tmp_path):
    z = neuron()
    z.backward()
    draw(z, color="grad").save(tmp_path / "graph.svg")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    (tmp_path / "page.html").write_text(
        '<meta name="color-scheme" content="light dark">'
        + (tmp_path / "graph.svg").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    page = Page(browser, tmp_path / "page.html")
    kept = page.run(
        "const same = (e) => { const c = document.createElement('canvas').getContext('2d');"
        "c.fillStyle = e.getAttribute('fill'); const a = c.fillStyle;"
        "c.fillStyle = getComputedStyle(e).fill; return a === c.fillStyle; };"
        "return [...document.querySelectorAll('.graded path, .graded text, .legend polygon,"
        " .legend text')].map(same)"
    )
    assert len(kept) > 30
    assert all(kept)
    assert page.run("return getComputedStyle(document.querySelector('.graph > polygon')).fill") == (
        "rgb(13, 17, 23)"
    )


def test_in_a_wrapped_picture_gradients_stand_in_their_boxes_and_slopes_in_their_places(open_page):
    made = [Value(0.5, label="x"), Value(1.5, label="y")]
    for i in range(24):
        near = made[-2 - i % 3 if len(made) > 4 else 0]
        made.append((made[-1] + near, made[-1] * near, made[-1].sin())[i % 3])
    page = open_page(made[-1])
    order = topological_order(made[-1])
    keys = {node.label: f"u{i}" for i, node in enumerate(order, start=1) if node.label}
    slopes = "return [...document.querySelectorAll('#picture text.slope')].map(t => t.textContent)"
    before = page.run(slopes)
    assert before
    page.slide(int(page.run("return document.querySelector('input[type=range]').max")))
    assert page.run(slopes) == before
    for name, _, gradient in page.table():
        key = keys.get(name, name)
        *_, shown = page.own_lines(key)
        assert shown.startswith("grad ")
        assert float(shown[5:]) == pytest.approx(float(gradient), rel=1e-5)
        assert name in page.own_lines(key)
