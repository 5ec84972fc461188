"""The page in a real browser: it opens fast, requests nothing, and responds to mouse and keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.data.annotations import Event, write_annotations
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver"),
    pytest.mark.filterwarnings("default::ResourceWarning"),  # from selenium's sockets
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)

Open = Callable[..., Any]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Open]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def open_page(page: Path, width: int = 1280, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.get(page.resolve().as_uri())
        assert driver.execute_script("return document.documentElement.dataset.ready") == "true"
        return driver

    yield open_page
    assert [e for e in driver.get_log("browser") if e["level"] == "SEVERE"] == []
    driver.quit()


@pytest.fixture
def page(sedtf: Sedtf, tmp_path: Path) -> Path:
    settings = (*TINY, *TINY_SOUNDSCAPES, "trainer.epochs=3", "trainer.max_updates=9")
    assert sedtf("train", *settings, "output_dir=run") == 0
    assert sedtf("report", "run", "device=cpu", "output_dir=page") == 0
    return tmp_path / "page" / "report.html"


def wait_for(driver: Any, script: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 10).until(lambda d: d.execute_script(script))


def test_errors_are_stepped_through_heard_and_zoomed(browser: Open, page: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    driver = browser(page)
    run = driver.execute_script
    loaded = run(
        "return performance.getEntriesByType('resource')"
        ".filter((entry) => !/^(data|blob):/.test(entry.name)).length"
    )
    assert loaded == 0
    driver.find_element(By.ID, "next-error").click()
    assert run("return explorer.current.textContent").startswith("Error 1 of")
    wait_for(driver, "return explorer.audio.readyState >= 1")
    assert run("return explorer.audio.duration") == pytest.approx(4.0, abs=0.05)
    before = run("return explorer.time")
    driver.find_element(By.ID, "play-error").click()
    wait_for(driver, f"return explorer.time > {before} + 0.1")
    stage = driver.find_element(By.ID, "stage")
    stage.send_keys(" ")
    wait_for(driver, "return explorer.audio.paused")
    stage.send_keys("+")
    first, last = run("return explorer.range")
    assert last - first == pytest.approx(2.0, abs=0.05)
    stage.send_keys(Keys.ARROW_RIGHT)
    assert run("return explorer.range[0]") >= first
    stage.send_keys("0")
    assert run("return explorer.range[1] - explorer.range[0]") == pytest.approx(4.0, abs=0.05)
    over = driver.find_elements(By.CSS_SELECTOR, "#stage .u-over")[0]
    move = ActionChains(driver).move_to_element_with_offset(over, -100, 0)
    move.click_and_hold().move_by_offset(120, 0).release().perform()
    wait_for(driver, "return explorer.range[1] - explorer.range[0] < 2")
    assert "Probabilities:" in run("return explorer.reading.textContent")


def test_probabilities_that_are_read_are_those_of_the_model(browser: Open, page: Path) -> None:
    driver = browser(page)
    values = driver.execute_script("return Array.from(explorer.probabilities)")
    assert 0 < np.mean(values) < 255
    driver.execute_script("explorer.seek(explorer.file.start + 10 * explorer.file.hop)")
    text = driver.execute_script("return explorer.reading.textContent")
    row = np.reshape(values, (-1, len(driver.execute_script("return explorer.classes"))))[10] / 255
    assert f"{row.max():.2f}" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(scheme: str, browser: Open, page: Path) -> None:
    driver = browser(page, width=390, scheme=scheme)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390


def test_the_worst_class_leads_to_its_errors(browser: Open, page: Path) -> None:
    from selenium.webdriver.common.by import By

    driver = browser(page)
    worst = driver.find_element(By.CSS_SELECTOR, ".tile.worst button")
    label = worst.text
    row = driver.find_element(By.CSS_SELECTOR, "#classes tbody tr")
    assert row.find_element(By.TAG_NAME, "th").text == label
    assert "worst" in row.get_attribute("class")
    worst.click()
    assert driver.execute_script("return explorer.classes[explorer.label]") == label
    assert label in driver.execute_script("return explorer.current.textContent")


def test_headings_sort_their_column(browser: Open, page: Path) -> None:
    from selenium.webdriver.common.by import By

    driver = browser(page)
    driver.find_elements(By.CSS_SELECTOR, "#classes thead button")[0].click()
    labels = [e.text for e in driver.find_elements(By.CSS_SELECTOR, "#classes tbody th")]
    assert labels == sorted(labels)
    driver.find_elements(By.CSS_SELECTOR, "#classes thead button")[0].click()
    turned = [e.text for e in driver.find_elements(By.CSS_SELECTOR, "#classes tbody th")]
    assert turned == labels[::-1]


def test_hostile_names_are_shown_as_they_are(
    sedtf: Sedtf, browser: Open, recordings: Path, tmp_path: Path
) -> None:
    from sed_cli.data.annotations import read_annotations

    root = tmp_path / "hostile"
    shutil.copytree(recordings, root)
    label = "<img src=x onerror=alert(1)> \"'& 雨"
    for split in ("train", "validation", "test"):
        events = read_annotations(root / f"{split}.tsv").events
        renamed = {
            name: [Event(e.onset_s, e.offset_s, label if e.label == "low" else e.label) for e in of]
            for name, of in events.items()
        }
        if split == "test":
            long_name = "a very long name & " * 8 + "雨.wav"
            (root / "audio" / "test_0.wav").rename(root / "audio" / long_name)
            renamed[long_name] = renamed.pop("test_0.wav")
        write_annotations(root / f"{split}.tsv", renamed)
    data = ("data=annotated", f"data.root={root}", "data.sequence_length=50")
    assert sedtf("train", *TINY, *data, "output_dir=run") == 0
    assert sedtf("report", "run", "device=cpu", "output_dir=page") == 0
    driver = browser(tmp_path / "page" / "report.html", width=390)
    run = driver.execute_script
    assert label in run("return document.querySelector('#classes').textContent")
    assert run("return document.images.length") == 0
    assert run("return document.documentElement.scrollWidth") <= 390
    index = run("return content.files.findIndex((file) => file.name.startsWith('a very'))")
    run(f"explorer.load({index})")
    assert "雨.wav" in run("return explorer.heading.textContent")
