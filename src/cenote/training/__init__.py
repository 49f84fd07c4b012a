"""Training: from a network's name to a run folder, and from a run folder to answers."""

from cenote.training.checkpoint import Checkpoint, CheckpointError
from cenote.training.claiming import RunError
from cenote.training.config import Config
from cenote.training.evaluation import Deviation, Evaluation, evaluate, measure
from cenote.training.fitting import Result, fit
from cenote.training.locking import FolderInUseError
from cenote.training.objective import Objective
from cenote.training.optionfile import read_options
from cenote.training.prediction import Answer, ImageError, Predictor
from cenote.training.recipes import RECIPES
from cenote.training.run import Run
from cenote.training.signals import Interrupted
from cenote.training.together import ElsewhereError, WorkerLostError, speaks

__all__ = [
    "RECIPES",
    "Answer",
    "Checkpoint",
    "CheckpointError",
    "Config",
    "Deviation",
    "ElsewhereError",
    "Evaluation",
    "FolderInUseError",
    "ImageError",
    "Interrupted",
    "Objective",
    "Predictor",
    "Result",
    "Run",
    "RunError",
    "WorkerLostError",
    "evaluate",
    "fit",
    "measure",
    "read_options",
    "speaks",
]
