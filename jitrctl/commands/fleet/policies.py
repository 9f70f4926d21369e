"""What `jitrctl fleet check` prints of device policies: what each lets the devices of its CAs do, and the notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitr_fleet.authorization.evaluation import PolicyAnswer
from jitr_fleet.policy import BUILT_IN_POLICY
from jitrctl.terminal import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr_fleet.authorization.trial import Attempt
    from jitr_fleet.policy_proof import PolicyProof


_CONNECTS = {
    PolicyAnswer.ALLOWED: "connects",
    PolicyAnswer.UNSURE: "may connect or not",
    PolicyAnswer.DENIED: "does not connect",
    PolicyAnswer.NOT_ALLOWED: "does not connect",
}


def show_policies(proofs: Sequence[PolicyProof]) -> None:
    """A line for each policy, and one for each note."""
    for proof in proofs:
        names = ", ".join(proof.file.cas)
        trial = proof.trial
        receives = " and receives there" if trial.receive.is_allowed else ""
        does = [
            _CONNECTS[trial.connect.evaluation.answer],
            f"publishes to {trial.publish.name}" if trial.publish.is_allowed else "",
            f"subscribes to {trial.subscribe.name}{receives}" if trial.subscribe.is_allowed else "",
        ]
        _print(f"{_name(proof)} ({names}): a device such as {proof.device} {', '.join(filter(None, does))}.")
    for note in (note for proof in proofs for note in proof.notes):
        _print(f"  {note}.", style="yellow")


def policy_documents(proofs: Sequence[PolicyProof]) -> list[dict[str, Any]]:
    """The same for --json."""
    return [
        {
            "file": str(proof.file.path),
            "built_in": proof.file.path == BUILT_IN_POLICY,
            "cas": list(proof.file.cas),
            "device": proof.device,
            "connect": proof.trial.connect.evaluation.answer,
            "publish": _allowed(proof.trial.publish),
            "subscribe": _allowed(proof.trial.subscribe),
            "receive": _allowed(proof.trial.receive),
            "notes": [
                {"file": str(note.file), "line": note.line, "text": note.message, "cure": note.cure}
                for note in proof.notes
            ],
        }
        for proof in proofs
    ]


def _name(proof: PolicyProof) -> str:
    return "jitr's own policy" if proof.file.path == BUILT_IN_POLICY else str(proof.file.path)


def _allowed(attempt: Attempt) -> str | None:
    return attempt.name if attempt.is_allowed else None


def _print(line: str, style: str | None = None) -> None:
    out.print(line, markup=False, soft_wrap=True, style=style)
