"""Freed memory stays with the process: taking as much again brings no new pages."""

import platform

import pytest

from graphrise.train.allocator import keep_memory
from graphrise.train.folder import forget_peak, peak_mib

resource = pytest.importorskip("resource")
SIZE = 50 * 2**20


def faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_a_block_freed_and_taken_again_is_the_same_pages():
    assert keep_memory()
    block = bytearray(SIZE)
    del block
    before = faults()
    block = bytearray(SIZE)
    assert faults() - before < SIZE // 4096 // 20
    del block


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_memory() is False


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere the peak stays")
def test_a_peak_is_forgotten():
    keep_memory()
    block = b"x" * SIZE
    high = peak_mib()
    del block
    forget_peak()
    assert peak_mib() < high - SIZE / 2**20 / 2
