"""Training: from a network's name to a run folder, and from a run folder to answers."""

from cenote.training.checkpoint import Checkpoint, CheckpointError
from cenote.training.config import Config
from cenote.training.evaluation import Evaluation, evaluate
from cenote.training.fitting import Result, fit
from cenote.training.prediction import Answer, ImageError, Predictor
from cenote.training.recipes import RECIPES
from cenote.training.run import Run, RunError
from cenote.training.signals import Interrupted

__all__ = [
    "RECIPES",
    "Answer",
    "Checkpoint",
    "CheckpointError",
    "Config",
    "Evaluation",
    "ImageError",
    "Interrupted",
    "Predictor",
    "Result",
    "Run",
    "RunError",
    "evaluate",
    "fit",
]
