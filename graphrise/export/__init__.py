"""A run's encoder for others: a folder that needs no graphrise, ONNX, torch.export."""

from graphrise.export.run import ExportResult as ExportResult
from graphrise.export.run import export_run as export_run
