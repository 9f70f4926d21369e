"""Writes the software bill of materials of the Lambda layer, in CycloneDX: `make sbom` makes build/sbom.cdx.json.

    python -m jitr_cdk.sbom

It is made from the wheels that the layer is unpacked from, so it lists what is shipped, not what was requested. Wheels'
metadata does not name what they hold besides Python (cryptography brings a statically linked OpenSSL).
"""

import hashlib
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from jitr_cdk.asset import BUILD, ROOT, WHEELS, AssetError
from jitr_cdk.target import AWS

SPECIFICATION = "1.6"


def build_bill() -> dict[str, Any]:
    """Make the document; the same wheels and version give the same document.

    Raises AssetError when the wheels were not fetched.
    """
    wheels = sorted((WHEELS / AWS.wheels).glob("*.whl"))
    if not wheels:
        raise AssetError(f"no wheels in {WHEELS / AWS.wheels}: run `make wheels` once, with the network")
    components = [_component(wheel) for wheel in wheels]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    direct = {
        _normalize(re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]) for requirement in project["dependencies"]
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(components))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"expression": project["license"]}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": own, "dependsOn": [one["bom-ref"] for one in components if _normalize(one["name"]) in direct]},
            *(
                {"ref": one["bom-ref"], "dependsOn": sorted(_find_required(wheel, components))}
                for wheel, one in zip(wheels, components, strict=True)
            ),
        ],
    }


def _component(wheel: Path) -> dict[str, Any]:
    metadata = _metadata(wheel)
    name, version = metadata["Name"], metadata["Version"]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{_normalize(name)}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{_normalize(name)}@{version}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
        "properties": [{"name": "jitr:wheel", "value": wheel.name}],
    }
    if expression := metadata.get("License-Expression"):
        component["licenses"] = [{"expression": expression}]
    elif text := metadata.get("License"):
        component["licenses"] = [{"license": {"name": text.splitlines()[0]}}]
    return component


def _find_required(wheel: Path, components: list[dict[str, Any]]) -> Iterator[str]:
    """The shipped components that a wheel requires, without extras; the runtime has the others."""
    asked = {
        _normalize(re.split(r"[<>=!~\[(; ]", requirement, maxsplit=1)[0])
        for requirement in _metadata(wheel).get_all("Requires-Dist", [])
        if "extra ==" not in requirement
    }
    return (one["bom-ref"] for one in components if _normalize(one["name"]) in asked)


def _metadata(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
        return Parser().parsestr(archive.read(name).decode("utf-8"), headersonly=True)


def _normalize(name: str) -> str:
    """A project's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    try:
        document = build_bill()
    except AssetError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- for the terminal
        return 1
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "sbom.cdx.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(path.relative_to(ROOT))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
