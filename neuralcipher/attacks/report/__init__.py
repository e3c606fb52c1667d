"""A finished run as data (`record`) and as one self-contained page (`page`)."""

from neuralcipher.attacks.report.html import page
from neuralcipher.attacks.report.record import SCHEMA, Finished, figure_from_dict, figure_to_dict, record, row_to_dict

__all__ = ["SCHEMA", "Finished", "figure_from_dict", "figure_to_dict", "page", "record", "row_to_dict"]
