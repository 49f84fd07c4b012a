"""Recipes: options by one name, and what is said of them."""

import pytest

import cenote
from cenote.training import RECIPES
from training_helpers import QUICK, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(write_data(tmp_path_factory.mktemp("data")))


def test_a_recipe_stands_for_its_options_where_they_are_not_given(data, tmp_path, capsys):
    given = {**QUICK, "data": data, "epochs": 1, "progress": "plain"}
    run = cenote.fit(recipe="fast", out=tmp_path / "run", **given).run
    options = {"network": RECIPES["fast"].network, **RECIPES["fast"].options}
    for name, value in options.items():
        assert getattr(run.config, name) == given.get(name, value), name
    assert run.config.augment == options["augment"] != "shift1"
    said = capsys.readouterr()
    assert f"recipe fast: {RECIPES['fast'].result}" in said.out + said.err


def test_a_run_of_a_recipe_is_gone_on_with_by_its_folder(data, tmp_path):
    given = {**QUICK, "data": data, "epochs": 1}
    first = cenote.fit(recipe="fast", out=tmp_path / "run", **given)
    again = cenote.fit(out=tmp_path / "run", resume=True)
    assert again.run.config == first.run.config


@pytest.mark.parametrize(
    ("network", "recipe", "message"),
    [
        (None, "slow", r"recipe = 'slow': must be one of fast, fashion-lenet5, fashion$"),
        ("vgg16", "fast", r"recipe = 'fast': is one for lenet5, not for vgg16"),
    ],
)
def test_a_wrong_recipe_is_named(network, recipe, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        cenote.fit(network, recipe=recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_said_has_figures_hardware_and_number(recipe):
    for part in ("%", "median of", "seeds", "cores", " s"):
        assert part in recipe.result
