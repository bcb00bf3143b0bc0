"""The picture of the arena: every block where the plan has it, and nothing alive drawn over another."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

from flatbuffer_models import small_conv_model

from rena_kws.firmware.emit import generate
from rena_kws.report.arena import arena_picture


def test_blocks_of_a_firmware_fill_its_arena_and_do_not_overlap_in_time() -> None:
    firmware = generate(small_conv_model())
    blocks = firmware.arena
    assert max(block.offset + block.size_bytes for block in blocks) == firmware.arena_bytes
    for a, b in itertools.combinations(blocks, 2):
        together = a.first <= b.last and b.first <= a.last
        over = a.offset < b.offset + b.size_bytes and b.offset < a.offset + a.size_bytes
        assert not (together and over), (a, b)
    assert min(block.first for block in blocks) == -1, "the input is there before the first layer"
    assert max(block.last for block in blocks) == len(firmware.layers), "the output is there after the last"
    assert any(block.scratch for block in blocks)


def test_the_picture_has_every_block_with_its_name() -> None:
    firmware = generate(small_conv_model())
    text = arena_picture([vars(block) for block in firmware.arena], len(firmware.layers))
    root = ElementTree.fromstring(text)
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == len(firmware.arena)
    for block, title in zip(firmware.arena, titles, strict=True):
        assert title.startswith(block.name) and f"{block.size_bytes:,} bytes" in title
    assert all(float(size) >= 1 for size in re.findall(r'class="(?:block|scratch)"[^>]* width="([\d.]+)"', text))


def test_names_are_escaped_and_nothing_gives_nothing() -> None:
    block = {"name": "a<b>&c", "offset": 0, "size_bytes": 16, "first": 0, "last": 0, "scratch": False}
    ElementTree.fromstring(arena_picture([block], 1))
    assert arena_picture([], 3) == ""
