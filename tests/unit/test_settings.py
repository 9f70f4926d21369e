"""Settings: written and read by one class, and a wrong environment is named."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.errors import Misconfigured
from jitr.settings import Settings
from tests.support.examples import SETTINGS


@given(
    st.builds(
        Settings,
        **{field.name: st.text() for field in fields(Settings)}
        | {
            "activations_per_second": st.floats(0.1, 1e6),
            "max_concurrency": st.integers(1, 10_000),
            "rejections_by_reason": st.booleans(),
        },
    )
)
def test_settings_round_trip(settings: Settings) -> None:
    read = Settings.from_environ(settings.to_environ() | {"PATH": "/bin"})
    assert read == settings
    assert isinstance(read.max_concurrency, int)


def test_every_variable_is_marked_as_ours_and_is_text() -> None:
    environ = SETTINGS.to_environ()
    assert len(environ) == len(fields(Settings))
    assert all(name.startswith("JITR_") and name.isupper() and isinstance(environ[name], str) for name in environ)


def test_an_account_id_keeps_its_leading_zero() -> None:
    assert Settings.from_environ(SETTINGS.to_environ()).account_id == "011111111111"


@pytest.mark.parametrize("variable", SETTINGS.to_environ())
def test_a_missing_variable_is_named(variable: str) -> None:
    environ = SETTINGS.to_environ()
    del environ[variable]
    with pytest.raises(Misconfigured, match=f"{variable} is not set"):
        Settings.from_environ(environ)


@pytest.mark.parametrize("variable", ["JITR_ACTIVATIONS_PER_SECOND", "JITR_MAX_CONCURRENCY"])
@pytest.mark.parametrize("value", ["", "ten", "1,5"])
def test_a_number_that_is_none_is_named_with_its_value(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{variable} is not a number: '{value}'"):
        Settings.from_environ(SETTINGS.to_environ() | {variable: value})


def test_what_is_neither_true_nor_false_is_named() -> None:
    with pytest.raises(Misconfigured, match="JITR_REJECTIONS_BY_REASON is neither"):
        Settings.from_environ(SETTINGS.to_environ() | {"JITR_REJECTIONS_BY_REASON": "yes"})
