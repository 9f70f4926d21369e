"""Lists the probes in the order of their execution: first what cleaning depends on, last what takes long."""

from jitrctl.prove.probe import Probe
from jitrctl.prove.probes import (
    both_modes,
    bursts,
    ca_id,
    connected_after,
    detached,
    device_of_ca,
    event,
    event_with_template,
    exclusive,
    leaf_alone,
    loop,
    no_sni,
    odd_shapes,
    outside_validity,
    pending_set,
    reconnected,
    registration_code,
    revoked,
    second_default,
    session_ends,
    template_removed,
    unauthorized_subscribe,
    without_ca,
)

PROBES: tuple[Probe, ...] = tuple(
    module.PROBE
    for module in (
        ca_id,
        device_of_ca,
        registration_code,
        event,
        leaf_alone,
        no_sni,
        both_modes,
        without_ca,
        second_default,
        outside_validity,
        odd_shapes,
        revoked,
        pending_set,
        exclusive,
        detached,
        connected_after,
        unauthorized_subscribe,
        reconnected,
        event_with_template,
        template_removed,
        session_ends,
        loop,
        bursts,
    )
)
