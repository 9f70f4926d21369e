"""docs/prove.md names every probe as it is, and holds a whole run."""

import importlib.util
import re

from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.prove.probe import Recorded
from jitrctl.prove.probes import PROBES

PAGE = (CHECKOUT / "docs" / "prove.md").read_text(encoding="utf-8")


def test_the_page_has_the_table_of_probes() -> None:
    spec = importlib.util.spec_from_file_location("tools_prove", CHECKOUT / "tools" / "prove.py")
    assert spec
    assert spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    assert generator.render_probes() in PAGE, "run `make docs`, or tools/prove.py"


def test_the_page_shows_that_nothing_is_left_however_it_ends() -> None:
    _, _, ends = PAGE.partition("<!-- ends: make docs -->")
    rows = [line.split("|")[1:-1] for line in ends.partition("<!-- end of ends -->")[0].splitlines() if "|" in line][2:]

    assert sum("Ctrl-C" in row[0] for row in rows) == 5
    assert sum("SIGKILL" in row[0] for row in rows) == 1
    assert {row[-1].strip() for row in rows} == {"0"}


def test_what_the_local_aws_cannot_answer_is_in_the_pages_run() -> None:
    for probe in PROBES:
        if probe.not_local and not probe.bursts:
            assert f"not answered: {probe.name}: {probe.not_local}" in PAGE


def test_every_probe_says_what_another_answer_means_and_names_are_one_of_a_kind() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES)
    for probe in PROBES:
        assert re.fullmatch("[a-z-]+", probe.name)
        assert probe.question.endswith("?")
        assert len({one.what for one in probe.expects}) == len(probe.expects)
        for one in probe.expects:
            assert one.otherwise or isinstance(one.assumed, Recorded)
