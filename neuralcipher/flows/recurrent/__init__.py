"""The recurrent flow: a network that advances the video by one frame, applied again and again."""

from neuralcipher.flows.recurrent.config import RecurrentConfig
from neuralcipher.flows.recurrent.flow import RecurrentFlow

__all__ = ["RecurrentConfig", "RecurrentFlow"]
