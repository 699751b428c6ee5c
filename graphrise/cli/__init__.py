"""The command line."""

from graphrise.cli.main import main as main
