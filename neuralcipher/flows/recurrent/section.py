"""The recurrent flow's section: bytes to fields and back."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from torch import Tensor, nn

from neuralcipher.coding.binary import FieldReader, pack_varint
from neuralcipher.coding.weights import load_parameters, parameters_from_bytes, read_weight_bits
from neuralcipher.flows.algorithm1 import MAX_ACTIVATIONS, Algorithm1, algorithm1_shapes
from neuralcipher.flows.pictures import StoredPicture, VideoHead
from neuralcipher.flows.recurrent.config import MAX_DILATION, MAX_NCONV, MAX_STAGES, MAX_UPSCALE

NOUN = "section of the recurrent flow"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a section says before its pictures and weights."""

    video: VideoHead
    dilation: int
    nconv: int
    upscale: int
    stages: int
    stage_nconv: int
    residual: int
    weight_bits: int

    @property
    def advances(self) -> bool:
        """Whether there is anything to recall, and so a network."""
        return self.video.count > self.dilation

    @property
    def repairs(self) -> int:
        """How many networks repair frames; none if all are shown as they are stored."""
        return self.stages if self.advances or self.upscale > 1 else 0

    @property
    def base_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the frames that recall goes through."""
        unit = 4 * self.upscale
        return self.video.channels, -(-self.video.height // unit) * 4, -(-self.video.width // unit) * 4

    @property
    def activations(self) -> int:
        """Numbers that the widest layer makes of one frame."""
        _, height, width = self.base_shape
        base = height * width * self.nconv
        return max(base, height * width * self.upscale**2 * self.stage_nconv) if self.stages else base

    def to_bytes(self) -> bytes:
        """As `read` reads it."""
        return self.video.to_bytes(VERSION) + struct.pack(
            "<BHBBHBB",
            self.dilation,
            self.nconv,
            self.upscale,
            self.stages,
            self.stage_nconv,
            self.residual,
            self.weight_bits,
        )

    @classmethod
    def read(cls, reader: FieldReader) -> Header:
        """Raises PayloadDamagedError or LimitError on anything that `to_bytes` does not write."""
        header = cls(
            VideoHead.read(reader, VERSION),
            reader.u8(1, MAX_DILATION),
            reader.u16(1, MAX_NCONV),
            reader.u8(1, MAX_UPSCALE),
            reader.u8(0, MAX_STAGES),
            reader.u16(1, MAX_NCONV),
            reader.u8(0, 1),
            read_weight_bits(reader),
        )
        reader.bounded(header.activations, 1, MAX_ACTIVATIONS)
        return header


@dataclass(frozen=True, slots=True)
class RecurrentSection:
    """A section taken apart. anchors: frame number -> the true frames from there, up to d."""

    header: Header
    anchors: dict[int, list[StoredPicture]]
    weights: list[list[Tensor]]

    @classmethod
    def parse(cls, data: bytes) -> RecurrentSection:
        """Raises PayloadDamagedError or LimitError on anything that `pack` does not write."""
        reader = FieldReader(data, NOUN)
        header = Header.read(reader)
        anchors: dict[int, list[StoredPicture]] = {}
        number = 0
        for index in range(reader.varint(header.video.count)):
            number = reader.varint(header.video.count) + (number if index else 0)
            reader.bounded(number, 0 if not index else number, header.video.count - 1 if index else 0)
            if number in anchors:
                raise reader.damaged("has the same key-frame twice")
            stored = min(header.dilation, header.video.count - number)
            anchors[number] = [StoredPicture(reader, header.base_shape) for _ in range(stored)]
        if not anchors:
            raise reader.damaged("has no first frame")
        weights = []
        for shapes in network_shapes(header):
            weights.append(parameters_from_bytes(reader, shapes, header.weight_bits))
        reader.finish()
        return cls(header, anchors, weights)

    def networks(self) -> list[nn.Module]:
        """The network that advances, if there is one, and those that repair."""
        made: list[nn.Module] = []
        for weights in self.weights:
            advances = self.header.advances and not made
            network = base_network(self.header) if advances else stage_network(self.header)
            load_parameters(network, weights)
            made.append(network)
        return made


class Residual(nn.Module):
    """A network that adds to its input instead of drawing it anew."""

    def __init__(self, network: Algorithm1) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """x in [0, 1]; returns values around it, not clamped."""
        y: Tensor = self.network(x) - 0.5
        return x + y


def base_network(header: Header) -> nn.Module:
    """f, untrained."""
    return Algorithm1(header.nconv, header.dilation * header.video.channels)


def stage_network(header: Header) -> nn.Module:
    """One f*, untrained."""
    network = Algorithm1(header.stage_nconv, header.video.channels)
    return Residual(network) if header.residual else network


def network_shapes(header: Header) -> list[list[tuple[int, ...]]]:
    """The shapes of the parameters of every stored network, without making any."""
    base = algorithm1_shapes(header.nconv, header.dilation * header.video.channels)
    stage = algorithm1_shapes(header.stage_nconv, header.video.channels)
    return [base] * header.advances + [stage] * header.repairs


def pack(header: Header, anchors: dict[int, list[bytes]], weights: list[bytes]) -> bytes:
    """The section. anchors: in order, the first at 0; weights: as `parameters_to_bytes` made them."""
    parts = [header.to_bytes(), pack_varint(len(anchors))]
    before = 0
    for number, pictures in anchors.items():
        parts += [pack_varint(number - before), *pictures]
        before = number
    return b"".join([*parts, *weights])
