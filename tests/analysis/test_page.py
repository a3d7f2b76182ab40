"""The page in a browser: nothing to complain about, nothing fetched, nothing wider than a phone."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from openmm_trajgan.analysis.report import render

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (390, 1280)

# A frame with srcdoc lives under the policy of the page around it: whatever it runs or requests is blocked, and said on the console
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'nonce-1'"
SCRIPT = """
addEventListener("load", () => {
  const results = [...document.querySelectorAll("iframe")].map(frame => {
    const inside = frame.contentDocument, root = inside.documentElement, headline = inside.querySelector(".verdict");
    const box = headline.getBoundingClientRect();
    const requests = frame.contentWindow.performance.getEntriesByType("resource").map(one => one.name);
    return {
      width: root.scrollWidth,
      window: root.clientWidth,
      headline: inside.elementFromPoint(box.x + 5, box.y + box.height / 2) === headline ? headline.innerText : null,
      pictures: [...inside.images].map(image => image.naturalWidth),
      requests: requests.filter(one => !one.startsWith("data:")),
    };
  });
  const out = document.createElement("pre");
  out.id = "results";
  out.textContent = JSON.stringify(results);
  document.body.append(out);
});
"""


@pytest.fixture(scope="module")
def browser():
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        message = f"no browser found, looked for {', '.join(BROWSERS)}"
        if os.environ.get("TRAJGAN_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def visit(browser, page, folder):
    """What frames of each width measure, and what the browser says on its console."""
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>' for width in WIDTHS)
    policy = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    path = folder / "wrapper.html"
    path.write_text(f'<!DOCTYPE html>{policy}{frames}<script nonce="1">{SCRIPT}</script>', encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run"
    command = [
        browser,
        *flags.split(),
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1800,1000",
    ]
    done = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    results = re.search(r'<pre id="results">(.*?)</pre>', done.stdout, re.DOTALL)
    assert results, f"the browser did not get through: {done.stderr[-500:]}"
    console = [text for text in done.stderr.splitlines() if "CONSOLE" in text]
    return dict(zip(WIDTHS, json.loads(html.unescape(results[1])), strict=True)), console


def test_the_page_is_quiet_complete_and_fits_a_phone(browser, wells_audit, tmp_path):
    found, console = visit(browser, render(wells_audit), tmp_path)
    assert console == []
    for width, one in found.items():
        assert one["requests"] == []
        assert one["width"] <= one["window"] <= width
        assert one["headline"] == wells_audit.headline()
        assert len(one["pictures"]) > 5
        assert min(one["pictures"]) > 100


def test_the_browser_would_notice(browser, tmp_path):
    page = '<p class="verdict">Hello</p><div style="width: 3000px">wide</div><img src="https://example.invalid/a.png">'
    found, console = visit(browser, page, tmp_path)
    assert found[390]["width"] >= 3000
    assert found[390]["headline"] == "Hello"
    assert any("example.invalid" in text for text in console)
