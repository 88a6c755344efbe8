"""The table of mutants fits the code, so that ``make mutants`` can run at any time."""

import pytest

from tests.mutants.table import TABLES, Mutant, read_table

MUTANTS = read_table()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied(mutant: Mutant) -> None:
    assert mutant.complaint() is None


def test_names_are_unique_and_tests_are_given() -> None:
    assert len(TABLES) >= 1
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.tests and mutant.breaks for mutant in MUTANTS)
