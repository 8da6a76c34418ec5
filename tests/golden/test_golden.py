"""Every golden view becomes exactly the golden xDS, and reads back as it was written."""

import pytest
from tests.golden.golden import DIRECTORY, FEATURES, resources, view_text, views, xds_text


@pytest.mark.parametrize("feature", FEATURES)
class TestGolden:
    def test_the_views_become_the_xds(self, feature: str) -> None:
        assert xds_text(feature) == (DIRECTORY / feature / "xds.yaml").read_text(), "python -m tests.golden.rewrite"

    def test_the_views_are_written_as_they_read(self, feature: str) -> None:
        assert view_text(views(feature)) == (DIRECTORY / feature / "view.yaml").read_text()

    def test_equal_views_give_equal_bytes(self, feature: str) -> None:
        assert resources(feature) == resources(feature)
