"""The page in a browser: nothing to complain about, nothing run or fetched, nothing wider than a phone.

Needs Chromium or Chrome on the path, or under the name that the environment variable ``TRAJGAN_BROWSER`` says; skipped without,
unless ``TRAJGAN_REQUIRE_BROWSER`` is set.
"""

import json
import os
import shutil
import socket
import subprocess
import time

import pytest

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.analysis.report import render
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (390, 1280)
PATIENCE = 120  # seconds for one answer, on a machine that has other things to do

NASTY = (
    '<script>document.title = "run"</script>',
    '"><img src=x onerror="document.title = 1">',
    "'><svg onload='alert(1)'></svg>",
    '</style><script src="https://example.com/run.js"></script>',
    '</title></textarea></noscript><iframe src="javascript:parent.document.title = 2"></iframe>',
    "javascript:alert(1)",
    '<meta http-equiv="refresh" content="0;url=https://example.com">',
    "{{ 7 * 7 }} $x$ & &lt;b&gt; <!--",
)

# What the page holds once it is loaded, as its reader sees it with everything opened
LOOK = """
(() => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const root = document.documentElement, headline = document.querySelector(".verdict"), box = headline.getBoundingClientRect();
  return {
    title: document.title,
    width: root.scrollWidth,
    window: root.clientWidth,
    headline: document.elementFromPoint(box.x + 5, box.y + box.height / 2) === headline ? headline.innerText : null,
    pictures: [...document.images].map(image => image.naturalWidth),
    elements: [...new Set([...document.querySelectorAll("*")].map(one => one.localName))],
    attributes: [...new Set([...document.querySelectorAll("*")].flatMap(one => one.getAttributeNames()))],
    addresses: [...document.querySelectorAll("[href], [src]")].map(one => (one.getAttribute("href") ?? one.src).slice(0, 22)),
    text: document.body.innerText,
  };
})()
"""
ELEMENTS = """
html head meta title style body main section nav h1 h2 h3 p a ul li div img
table thead tbody tr th td dl dt dd details summary small span strong
"""
ATTRIBUTES = "lang charset name content id class href src alt data-label tabindex aria-label open"


class Browser:
    """Chromium without a window, spoken to by its DevTools protocol, whose messages end with a zero byte (files 3 and 4)."""

    def __init__(self, path, profile):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)

        def hand_over():
            for number in (3, 4):
                os.dup2(theirs.fileno(), number)
                os.set_inheritable(number, True)

        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run"
        command = [path, *flags.split(), "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        with (profile.parent / "browser.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=hand_over, close_fds=False
            )
        theirs.close()
        self.rest, self.events, self.number = b"", [], 0
        page = self.send("Target.createTarget", session=None, url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", session=None, targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, session="", **parameters):
        """The answer to a command; what the browser tells in between is kept."""
        number = self._post(method, session, **parameters)
        while (message := self._next()).get("id") != number:
            self.events.append(message)
        assert "result" in message, f"{method}: {message}"
        return message["result"]

    def wait(self, event):
        """Come back when an event has happened since the last visit began."""
        while all(one.get("method") != event for one in self.events):
            self.events.append(self._next())

    def told(self, event):
        """What the browser told under a name."""
        return [one["params"] for one in self.events if one.get("method") == event]

    def visit(self, path, width):
        """What a page that is shown that wide holds, has run, requested and said on the console."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.events = []
        self.send("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")
        time.sleep(0.5)  # for what would begin after loading
        found = self.send("Runtime.evaluate", expression=LOOK, returnByValue=True)["result"]["value"]
        requested = [one["request"]["url"] for one in self.told("Network.requestWillBeSent")]
        return found | {
            "requests": [url for url in requested if url != path.as_uri() and not url.startswith("data:")],
            "console": [
                *self.told("Runtime.consoleAPICalled"),
                *self.told("Runtime.exceptionThrown"),
                *self.told("Log.entryAdded"),
                *self.told("Page.javascriptDialogOpening"),
            ],
        }

    def close(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def _post(self, method, session="", **parameters):
        self.number += 1
        address = {"sessionId": session or self.session} if session is not None else {}
        self.socket.sendall(json.dumps({"id": self.number, "method": method, "params": parameters, **address}).encode() + b"\0")
        return self.number

    def _next(self):
        while b"\0" not in self.rest:
            more = self.socket.recv(2**20)
            if not more:
                raise RuntimeError("the browser ended")
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        found = json.loads(message)
        if found.get("method") == "Page.javascriptDialogOpening":  # which stops everything until somebody answers
            self._post("Page.handleJavaScriptDialog", accept=True)
        return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    named = os.environ.get("TRAJGAN_BROWSER")
    looked_for = (named,) if named else BROWSERS
    found = next((path for name in looked_for if (path := shutil.which(name))), None)
    if found is None:
        message = f"no browser found, looked for {', '.join(looked_for)}: set TRAJGAN_BROWSER to the path of Chromium or Chrome"
        if named or os.environ.get("TRAJGAN_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    running = Browser(found, tmp_path_factory.mktemp("browser") / "profile")
    yield running
    running.close()


@pytest.fixture(scope="module")
def nasty_audit(wells, coarse_errors):
    """An audit in which everything that a user names is an attack: features, replicas, system, keys and values of provenance."""
    n = len(NASTY)
    schema = FeatureSchema(names=NASTY, units=("rad",) * n, periods=(None,) * n, frame_interval=0.5)
    sets = []
    for seed, rate in ((1, 0.02), (2, 0.06), (3, 0.02)):
        series = [values.repeat(n // 2, axis=1) for values in wells(seed, 2, 500, rate=rate)]
        sets.append(FeatureTrajectories(series, schema, NASTY[:2], {"system": NASTY[0], **dict(zip(NASTY, NASTY, strict=True))}))
    with coarse_errors():
        return audit(*sets)


def harm(found):
    """What a page of this package never does."""
    return {
        "title": found["title"] != "Generated against held-out MD",
        "elements": bool(set(found["elements"]) - set(ELEMENTS.split())),
        "attributes": bool(set(found["attributes"]) - set(ATTRIBUTES.split())),
        "addresses": any(not one.startswith(("#", "data:image/png;base64,")) for one in found["addresses"]),
        "requests": bool(found["requests"]),
        "console": bool(found["console"]),
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_quiet_complete_and_fits_a_phone(browser, wells_audit, tmp_path, width):
    path = tmp_path / "audit.html"
    path.write_text(render(wells_audit), encoding="utf-8")
    found = browser.visit(path, width)
    assert found["console"] == []
    assert found["requests"] == []
    assert found["width"] <= found["window"] <= width
    assert found["headline"] == wells_audit.headline()
    assert len(found["pictures"]) > 5
    assert all(found["pictures"])


@pytest.mark.parametrize("width", WIDTHS)
def test_names_that_attack_stay_text(browser, nasty_audit, tmp_path, width):
    path = tmp_path / "audit.html"
    path.write_text(render(nasty_audit), encoding="utf-8")
    found = browser.visit(path, width)
    assert not any(harm(found).values()), (harm(found), found["requests"], found["console"])
    assert found["width"] <= found["window"]
    for text in NASTY:
        assert text in found["text"]


def test_the_same_names_do_harm_where_nothing_is_escaped(browser, wells_audit, tmp_path):
    path = tmp_path / "audit.html"
    path.write_text(render(wells_audit, drawn=()).replace("</main>", "".join(NASTY[:3]) + "</main>"), encoding="utf-8")
    assert all(harm(browser.visit(path, WIDTHS[1])).values())
