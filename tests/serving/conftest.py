"""What every service of these tests serves, where it is not about the model."""

import pytest

from clarity.inference.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Bundle) -> Bundle:
    return tiny_bundle
