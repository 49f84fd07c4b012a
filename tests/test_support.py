"""docs/support.md says what is found by trying."""

import pytest

import support


@pytest.fixture(scope="module")
def page():
    return support.PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", support.OPERATORS)
def test_the_page_says_what_was_found(name, page):
    ranks = support.OPERATORS[name]
    types = support.types_of(ranks).values()
    first = [f"`{name}`", ", ".join(map(str, ranks)), *types, support.layouts_of(ranks)]
    held = support.features_of(name, ranks).values()
    second = [f"`{name}`", *("yes" if h else "no" for h in held)]
    assert [line for line in page if line.startswith(f"| `{name}` ")] == [
        support.row(first),
        support.row(second),
    ]


def test_every_public_function_is_on_the_page(page):
    import cenote

    text = "\n".join(page)
    for name in cenote.functional.__all__:
        family = name[:-2] if name[-2:] in ("1d", "2d", "3d") else name
        assert f"`{family}" in text, name
