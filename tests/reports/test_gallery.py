"""The gallery as text: content, order, and no external resources."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from evaluations import evaluation_of
from gbench.reports.gallery import page, worst_first
from gbench.runfolder.evaluation_result import Evaluation

NASTY = "a&b <script>1</script> #?%"


@pytest.fixture
def found() -> Evaluation:
    """Four images of which no two metrics give the same order."""
    return evaluation_of(
        {"1": (0.3, 11.0, 0.2), "10": (0.1, None, 0.1), NASTY: (0.4, 12.0, 0.4), "2": (0.2, 10.0, 0.3)}
    )


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_worst_comes_first_whichever_way_a_metric_points(found: Evaluation) -> None:
    names = [image.name for image in found.images]
    assert [names[place] for place in worst_first(found, "MAE")] == [NASTY, "1", "2", "10"]
    assert [names[place] for place in worst_first(found, "PSNR")] == ["2", "1", NASTY, "10"]
    assert [names[place] for place in worst_first(found, "SSIM")] == ["10", "1", "2", NASTY]
    assert [item["data-name"] for item in Page(page(found)).all("li")] == [NASTY, "1", "2", "10"]


def test_every_pair_has_its_three_images_with_words_for_them(found: Evaluation) -> None:
    images = Page(page(found)).all("img")
    assert len(images) == 12
    assert [image["src"] for image in images[3:6]] == [
        f"images/1_{kind}.png" for kind in ("real_A", "fake_B", "real_B")
    ]
    assert images[0]["src"] == "images/a%26b%20%3Cscript%3E1%3C/script%3E%20%23%3F%25_real_A.png"
    assert all(image["alt"] for image in images)
    assert images[4]["alt"] == "Pair 1, the generated image: MAE 0.3000, PSNR 11.00, SSIM 0.2000"
    assert "PSNR infinite" in str(images[10]["alt"])


def test_it_fetches_nothing_and_runs_its_own_script_alone(found: Evaluation) -> None:
    text = page(found)
    assert not re.search(r"(?:https?:)?//[a-z]", text.replace("default-src", ""))
    (policy,) = (meta["content"] for meta in Page(text).all("meta") if meta.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert len(Page(text).all("script")) == 1
    assert page(found) == text


def test_what_was_not_computed_is_said(found: Evaluation) -> None:
    assert "Not computed: LPIPS (no --lpips-weights were given); FID and KID (no weights)." in page(found)
    with_fid = found.model_copy(update={"not_computed": {}, "set_metrics": {"FID": 123.4, "KID": 0.05}})
    text = page(with_fid)
    assert "Not computed" not in text and "123.4" in text
