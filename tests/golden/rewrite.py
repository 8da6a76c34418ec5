"""Writes every golden `xds.yaml` as the translation is now: `python -m tests.golden.rewrite`, then read the diff."""

from tests.golden.golden import DIRECTORY, FEATURES, xds_text


def main() -> None:
    for feature in FEATURES:
        (DIRECTORY / feature / "xds.yaml").write_text(xds_text(feature))


if __name__ == "__main__":
    main()
