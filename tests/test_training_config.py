"""Config: one place for all options, checked when it is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cenote import models
from cenote.data import Dataset, augment
from cenote.training import Config
from cenote.training.config import option_names
from cenote.training.recipe import OPTIMIZERS, SCHEDULES

BAD_VALUES = [
    ("epochs", 0, "epochs = 0: must be at least 1"),
    ("batch_size", -3, "batch_size = -3: must be at least 1"),
    ("learning_rate", -0.1, r"learning_rate = -0\.1: must be above 0"),
    ("learning_rate", 0, "learning_rate = 0.0: must be above 0"),
    ("learning_rate", float("nan"), "learning_rate = nan: must be finite"),
    ("momentum", 1.0, r"momentum = 1\.0: must be below 1"),
    ("weight_decay", -1e-3, r"weight_decay = -0\.001: must be at least 0"),
    ("warmup", 1, r"warmup = 1\.0: must be below 1"),
    ("label_smoothing", 1.5, r"label_smoothing = 1\.5: must be below 1"),
    ("validation", -1, "validation = -1: must be at least 0"),
    ("seed", -1, "seed = -1: must be at least 0"),
    ("threads", 0, "threads = 0: must be at least 1"),
    ("dropout", 1.0, r"dropout = 1\.0: must be below 1"),
    ("optimizer", "adamm", "optimizer = 'adamm': must be one of adam, sgd"),
    ("schedule", "step", "schedule = 'step': must be one of constant, cosine, onecycle"),
    ("progress", "loud", "progress = 'loud': must be one of auto, plain, none"),
]

BAD_TYPES = [
    ("epochs", 2.5, r"epochs = 2\.5: must be an int, not float"),
    ("epochs", True, "epochs = True: must be an int, not bool"),
    ("epochs", None, "epochs = None: must be an int, not NoneType"),
    ("learning_rate", "fast", "learning_rate = 'fast': must be a float, not str"),
    ("optimizer", 3, "optimizer = 3: must be a str, not int"),
    ("download", 1, "download = 1: must be a bool, not int"),
    ("out", 7, "out = 7: must be a Path, not int"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES)
def test_a_value_outside_its_limits_names_option_value_and_limit(name, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{name: value})


@pytest.mark.parametrize(("name", "value", "message"), BAD_TYPES)
def test_a_value_of_another_type_names_option_value_and_type(name, value, message):
    with pytest.raises(TypeError, match=message):
        Config(**{name: value})


def test_what_is_left_open_is_settled_by_the_other_options():
    adam, sgd = Config(), Config(optimizer="sgd", schedule="constant")
    assert adam.learning_rate != sgd.learning_rate
    assert (adam.warmup, sgd.warmup) == (0.3, 0.0)
    assert adam.folder == Path("runs/lenet5")


def test_a_given_value_is_kept():
    config = Config(learning_rate=1, warmup=0.0, out="here")
    assert (config.learning_rate, config.warmup, config.folder) == (1.0, 0.0, Path("here"))
    assert isinstance(config.learning_rate, float)


def test_json_and_back_is_the_same():
    config = Config(epochs=3, pool="avg", out="a b", data_dir="c", dropout=0.25)
    assert Config.from_json(config.to_json()) == config


def test_json_of_a_later_version_is_refused_by_name():
    with pytest.raises(ValueError, match="options colour: not known"):
        Config.from_json({**Config().to_json(), "colour": "blue"})


def test_a_data_folder_is_kept_as_an_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Config(data="mine").data == str(tmp_path / "mine")
    assert Config(data="mnist").data == "mnist"
    assert Config(data_dir="mine").data_dir == tmp_path / "mine"


def test_only_the_options_that_were_chosen_go_to_the_network():
    assert Config().network_options == {}
    assert Config(pool="avg", dropout=0.5).network_options == {"pool": "avg", "dropout": 0.5}


IMAGES = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)

# What there is to train on, and the validation images and the augmentation that suit it.
LEFT_OPEN = {
    "few_images": (IMAGES.expand(70, -1, -1, -1), torch.zeros(70).long(), 7, "shift1"),
    "many_images": (IMAGES.expand(60000, -1, -1, -1), torch.zeros(60000).long(), 5000, "shift1"),
    "images_with_a_value": (IMAGES.expand(9, -1, -1, -1), torch.zeros(9), 0, "shift1"),
    "images_with_a_grid": (IMAGES.expand(10, -1, -1, -1), torch.zeros(10, 1, 4, 4), 1, "none"),
    "sequences": (torch.zeros(4000, 1, 4), torch.zeros(4000).long(), 400, "none"),
    "grids": (torch.zeros(20, 2, 4, 4), torch.zeros(20, 2, 4, 4), 2, "none"),
}


@pytest.mark.parametrize("kind", LEFT_OPEN)
def test_what_is_left_open_for_the_data_is_settled_by_them(kind):
    images, labels, validation, augment = LEFT_OPEN[kind]
    whole = Dataset.of(images.contiguous(), labels)
    settled = Config(epochs=3).settled(whole)
    assert (settled.validation, settled.augment, settled.epochs) == (validation, augment, 3)
    assert settled.settled(Dataset.of(torch.zeros(5, 3), torch.zeros(5))) == settled
    given = Config(validation=5000, augment="flip").settled(whole)
    assert (given.validation, given.augment) == (5000, "flip")


def test_patience_is_refused_where_the_data_are_too_few_to_validate_on():
    nine = Dataset.of(torch.zeros(9, 3), torch.zeros(9))
    with pytest.raises(ValueError, match="patience = 2: needs validation images, validation = 0"):
        Config(patience=2).settled(nine)


def test_help_says_what_is_taken_where_an_option_is_left_out():
    def said(name):
        return Config.__dataclass_fields__[name].metadata["help"]

    for optimizer in OPTIMIZERS:
        rate = Config(optimizer=optimizer).learning_rate
        assert f"{rate:g} for {optimizer}" in said("learning_rate")
    for schedule in SCHEDULES:
        assert f"{Config(schedule=schedule).warmup:g} for {schedule}" in said("warmup")
    images, labels = IMAGES.expand(60000, -1, -1, -1), torch.zeros(60000).long()
    settled = Config().settled(Dataset.of(images, labels))
    assert f"by default {settled.augment} for images" in said("augment")
    assert f"{settled.validation} at most" in said("validation")
    assert Config(network="nin").folder == Path("runs/nin")
    assert "runs/NETWORK by default" in said("out")
    assert all(name in said("augment") for name in augment.names())
    assert all(name in said("network") for name in models.names())
    assert "by default PyTorch's choice" in said("threads")


def test_data_that_were_handed_over_are_no_path(tmp_path, monkeypatch):
    (tmp_path / "<mine>").mkdir()
    monkeypatch.chdir(tmp_path)
    config = Config(data="<mine>")
    assert (config.data, config.handed_over) == ("<mine>", "mine")
    assert Config().handed_over is None


def test_every_option_has_a_help_text():
    fields = Config.__dataclass_fields__
    assert set(option_names()) == set(fields)
    assert all(field.metadata["help"].endswith(".") for field in fields.values())
