"""The bill of materials says what the layer is made of."""

import re

from jitr_cdk.asset import ROOT, layer_asset
from jitr_cdk.sbom import build_bill
from jitr_cdk.target import AWS


def test_it_lists_every_distribution_of_the_layer_and_no_other() -> None:
    folder = layer_asset(AWS).directory / "python"
    shipped = {path.name.removesuffix(".dist-info").lower() for path in folder.glob("*.dist-info")}

    listed = {f"{one['name']}-{one['version']}".lower().replace("_", "-") for one in build_bill()["components"]}
    assert listed == {re.sub(r"_", "-", name) for name in shipped}


def test_versions_are_the_pinned_ones() -> None:
    pinned = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}

    for one in build_bill()["components"]:
        assert f"{one['name']}=={one['version']}".lower().replace("_", "-") in pinned


def test_every_component_has_what_a_scanner_asks_for() -> None:
    for one in build_bill()["components"]:
        assert one["purl"] == f"pkg:pypi/{one['name'].lower().replace('_', '-')}@{one['version']}"
        assert re.fullmatch(r"[0-9a-f]{64}", one["hashes"][0]["content"])
        assert one["licenses"]


def test_dependencies_name_components_of_the_bill() -> None:
    document = build_bill()
    known = {one["bom-ref"] for one in (*document["components"], document["metadata"]["component"])}

    for one in document["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= known
    (own,) = (one for one in document["dependencies"] if one["ref"] == document["metadata"]["component"]["bom-ref"])
    assert sorted(ref.partition("@")[0] for ref in own["dependsOn"]) == [
        "pkg:pypi/aws-lambda-powertools",
        "pkg:pypi/cryptography",
    ]


def test_the_same_wheels_give_the_same_bill() -> None:
    assert build_bill() == build_bill()
