"""Registers one certificate after the other under an import's order, without a CA or under one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.calls import calling
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status

if TYPE_CHECKING:
    from jitr.aws.iot import AwsIot
    from jitr.import_order import ImportOrder
    from jitr.record import Record
    from jitr.store.registry import Registry

_SWEEP_AFTER = timedelta(minutes=5)
_OVERTAKEN = "another import or a decision came first: run the import again"
NOT_CHANGED = "it is not changed: docs/migrate.md says how to take it over"


class CertificateImport:
    """Registers certificates, each under an order, in one account and Region; safe for threads."""

    def __init__(self, client: Any, iot: AwsIot, registry: Registry, *, ca_pem: str | None = None) -> None:
        """`iot` describes those that are registered already; `ca_pem` is the CA that signed all; None: without a CA."""
        self._client = client
        self._ca_pem = ca_pem
        self._iot = iot
        self._registry = registry

    def register(self, certificate_id: str, pem: str, order: ImportOrder, seen: Record) -> str | None:
        """Write the order, then register the certificate INACTIVE; None, or why it is not the import's.

        The order of an earlier run keeps its time if that run has registered the certificate.

        Raises Unavailable, botocore's errors; the next run goes on from the order.
        """
        kept = seen.import_order
        given = replace(order, at=kept.at) if kept and self._is_begun(certificate_id, seen) else order
        if given != kept and not self._registry.order_import(
            certificate_id, given, seen=seen, look_at=order.at + _SWEEP_AFTER
        ):
            return _OVERTAKEN
        try:
            self._register(pem)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return self._why_not_ours(certificate_id, given)
        except ClientError as error:
            self._registry.end_import(certificate_id, given)
            return f"AWS IoT refuses it: {error.response['Error'].get('Message') or error.response['Error']['Code']}"
        return None

    def _register(self, pem: str) -> None:
        """Raises Unavailable, ClientError."""
        if self._ca_pem is None:
            with calling("RegisterCertificateWithoutCA"):
                self._client.register_certificate_without_ca(certificatePem=pem, status=Status.INACTIVE.value)
        else:
            with calling("RegisterCertificate"):
                self._client.register_certificate(
                    certificatePem=pem, caCertificatePem=self._ca_pem, status=Status.INACTIVE.value
                )

    def _is_begun(self, certificate_id: str, seen: Record) -> bool:
        """Whether an earlier run has registered a certificate under the order that was seen."""
        try:
            return seen.is_import_unfinished(self._iot.describe(certificate_id))
        except CertificateUnknown:
            return False

    def _why_not_ours(self, certificate_id: str, order: ImportOrder) -> str | None:
        """Why a certificate that is registered already is not the import's; None if it is: an earlier run made it."""
        try:
            device = self._iot.describe(certificate_id)
        except CertificateUnknown:
            return "was just deleted: run the import again"
        if order.is_unfinished_on(device):
            return None
        record = self._registry.recall([certificate_id])[certificate_id]
        if record.import_order is None and record.ca_certificate_id == order.source:
            return None  # another run, or the sweep, has completed it
        self._registry.end_import(certificate_id, order)
        if device.status is Status.PENDING_ACTIVATION:
            return "has connected before, and the rules of its CA decide on it"
        return f"is registered here already, {device.status} since {device.created_at:%Y-%m-%d}; {NOT_CHANGED}"
