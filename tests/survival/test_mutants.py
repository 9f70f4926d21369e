"""Each mutant is killed by directed tests, and the explorer finds again what a mend closed (mutants.py)."""

import pytest

from tests.support.survival.crl_mutants import CRL_MUTANTS
from tests.support.survival.jitp_mutants import JITP_MUTANTS
from tests.support.survival.mutants import MENDS, MUTANTS
from tests.support.survival.mutating import ROOT, Change, Mend, Moved, Mutant, explored, mutated, survivors
from tests.support.survival.pairs import ALL_PAIRS
from tests.support.survival.security_mutants import SECURITY_MUTANTS

ALL_MUTANTS = (*MUTANTS, *CRL_MUTANTS, *JITP_MUTANTS, *SECURITY_MUTANTS)


def _name(one: Mutant | Mend) -> str:
    return one.name


@pytest.mark.parametrize("one", [*ALL_MUTANTS, *MENDS], ids=_name)
def test_what_a_mutant_replaces_is_in_the_source_once(one: Mutant | Mend) -> None:
    with mutated(one.changes) as copy:
        for change in one.changes:
            assert (copy / change.path).read_text() != (ROOT / change.path).read_text()


@pytest.mark.parametrize("old", ["def gone_since(", "def "], ids=["not there", "there more than once"])
def test_a_mutant_whose_text_is_not_there_once_is_an_error(old: str) -> None:
    with pytest.raises(Moved), mutated([Change("store/registry_writes.py", old, "")]):
        pass


@pytest.mark.parametrize("mutant", ALL_MUTANTS, ids=_name)
def test_the_tests_that_a_mutant_names_exist(mutant: Mutant) -> None:
    assert mutant.killed_by
    for test in mutant.killed_by:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.deep
@pytest.mark.parametrize("mutant", ALL_MUTANTS, ids=_name)
def test_each_directed_test_of_a_mutant_fails_under_it(mutant: Mutant) -> None:
    assert survivors(mutant) == []


@pytest.mark.deep
@pytest.mark.parametrize("mend", MENDS, ids=_name)
def test_the_explorer_finds_what_a_mend_closed(mend: Mend) -> None:
    assert mend.pair in [pair.name for pair in ALL_PAIRS]
    assert f"BROKEN ({mend.promise})" in explored(mend)
