"""docs/migrate.md, "From JITP": its commands print what the page says, and leave the fleet as it says."""

import json
import re
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from tests.support.cli.jitp_fleet import PREFIX, ROLE, JitpFleet, jitp_fleet, template
from tests.support.cli.simulated import DEV, IDS, REGION

PAGE = Path(__file__).parents[2] / "docs" / "migrate.md"
FLEET = (
    '[fleet]\nname = "acme"\n[ca.other]\ncertificate = "factory-2.pem"\ncommon_name = "x-[0-9]+"\n'
    f'[account.{DEV}]\nid = "{IDS[DEV]}"\nregions = ["{REGION}"]\nca.other = {{ mode = "SNI_ONLY" }}\n'
)
RULE = "jitr_acme__pumps"


def transcript() -> list[tuple[str, str]]:
    """The commands of the page's section with what they print."""
    section = PAGE.read_text(encoding="utf-8").split("## From JITP")[1].split("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [
        (command, printed.rstrip("\n"))
        for block in blocks
        for command, printed in re.findall(r"^\$ (jitrctl [^\n]*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def shown(text: str) -> str:
    """Without what differs from run to run: ids of certificates, spaces at the ends of lines, and times."""
    text = re.sub(r"[0-9a-f]{64}", "<id>", text)
    text = re.sub(r"\b[0-9]+\.[0-9] s\b", "<time>", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def run(command: str, ca: str) -> str:
    said = StringIO()
    words = command.replace("<CA's id>", ca).split()[1:]
    with redirect_stdout(said), redirect_stderr(said):
        main(words)
    return "\n".join(line for line in said.getvalue().splitlines() if not line.startswith("fleet acme, "))


def fleet_with_past(directory: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    jitp = jitp_fleet(directory, monkeypatch)
    jitp.fleet.file.write_text(FLEET)
    jitp.connect("pump-0001")
    jitp.connect("pump-0002")
    jitp.iot.update_thing(
        thingName="pump-0002", attributePayload={"attributes": {"version": "v0", "name": "pump-0002"}}
    )
    body = json.loads(template())
    body["Resources"]["thing"]["Properties"]["ThingGroups"].append({"Ref": f"{PREFIX}Country"})
    jitp.put(templateBody=json.dumps(body), roleArn=ROLE)
    return jitp


def deploy(jitp: JitpFleet, directory: Path, out: Path) -> None:
    """What stands between the page's commands: the files are taken in, and the stack is deployed."""
    for path in (one for one in out.rglob("*.*") if one.suffix != ".toml"):
        (directory / path.relative_to(out)).parent.mkdir(exist_ok=True)
        (directory / path.relative_to(out)).write_bytes(path.read_bytes())
    jitp.fleet.file.write_text(f"{FLEET}\n{(out / 'ca-pumps.toml').read_text()}")
    jitp.fleet.deploy()
    jitp.iot.disable_topic_rule(ruleName=RULE)


def test_the_page_shows_what_its_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jitp = fleet_with_past(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    commands = transcript()
    assert [" ".join(command.split()[1:3]) for command, _ in commands] == ["ca adopt"] * 4
    for command, printed in commands:
        if "--take-over" in command:
            deploy(jitp, tmp_path, tmp_path / "adopted")
        said = run(command, jitp.ca.certificate_id)
        assert shown(said) == shown(printed), f"{command}\n{said}"
