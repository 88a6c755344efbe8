"""All tests of storage have credentials of the emulators, and none of this machine."""

import pytest


@pytest.fixture(autouse=True)
def only_these_credentials(credentials: None) -> None:
    pass
