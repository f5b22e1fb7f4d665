"""Search spaces are read by YAML 1.2's core schema, in files and overrides; nothing but text is read."""

import math
import os
from pathlib import Path

import pytest

from raysweep.core.errors import SpaceError
from raysweep.sweep.space.yaml_lines import MAX_BYTES, Source, override, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", 100),  # YAML 1.1: octal, 64
        ("08", 8),  # YAML 1.1: a text
        ("0o17", 15),
        ("0x1F", 31),
        ("+12", 12),
        ("1_000", 1000),
        ("1e5", 1e5),  # YAML 1.1: a text, as the next ones
        ("1E5", 1e5),
        ("12e03", 12000.0),
        ("-2E+05", -2e5),
        (".5e3", 500.0),
        ("1e999", math.inf),
        ("-.INF", -math.inf),
        ("1:30", "1:30"),  # YAML 1.1: sexagesimal, 90
        ("on", "on"),  # YAML 1.1: true
        ("no", "no"),
        ("TRUE", True),
        ("~", None),
        ("2001-01-01", "2001-01-01"),  # YAML 1.1: a date
        ("'0100'", "0100"),
        ("=", "="),
    ],
)
def test_plain_values_are_those_of_yaml_1_2_in_files_and_in_overrides(text: str, value: object) -> None:
    for found in (parse(f"k: {text}", "f").value, override(Source("f", {}), [f"k={text}"]).value):
        assert isinstance(found, dict)
        assert found["k"] == value
        assert type(found["k"]) is type(value)


def test_keys_merged_from_an_anchor_give_way_to_those_that_are_written() -> None:
    source = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc:\n  <<: [{z: 1}, *a]\n", "f")
    assert source.value == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2, "z": 1}}
    assert source.place(("b", "x")) == "f:3"
    assert source.place(("b", "y")) == "f:4"


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in ("ab", "bc", "cd", "de", "ef")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: \x00", "f:2: not plain YAML: the character '\\x00' is not allowed"),
        ("a: 1\nb: \x1b[0m", "f:2: not plain YAML: the character '\\x1b' is not allowed"),
        ("a: 1\n\tb: 2", "f:2: not plain YAML: while scanning for the next token; found character '\\t'"),
        ("a: 1\n---\nb: 2", "f:2: not plain YAML: expected a single document"),
        ("b: 1\na: 2\nb: 3", "f:3: b: written twice (first in line 1)"),
        ("1: 1\n'1': 3", "f:2: 1: written twice (first in line 1)"),
        ("a: *b", "f:1: not plain YAML: found undefined alias 'b'"),
        ("a: &a [*a]", "f: nested too deeply, or an alias within"),
        ("[" * 5000, "f: nested too deeply"),
        (BOMB, "f: more than 100000 values"),
        ("? [1, 2]\n: 3", "f:1: a mapping or list cannot be a key"),
        ("a:\n  b: !!binary aGVsbG8=", "f:2: a.b: not plain YAML: tag tag:yaml.org,2002:binary"),
        ("a: !!int x", "f:1: a: 'x' cannot be read as int"),
        ("a: " + "9" * 5000, "f:1: a: '999"),
        ("a: {<<: 1}", "f:1: a.<<: only mappings can be merged in"),
    ],
)
def test_text_that_is_no_plain_yaml_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse(text, "f")
    assert str(error.value).startswith(message)


def test_only_files_of_text_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "utf16").write_text("name: toy\n", encoding="utf-16")
    (tmp_path / "utf16be").write_text("name: toy\n", encoding="utf-16-be")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    for name, reason in {
        "pipe": "not a file", "folder": "not a file", "utf16": "not a UTF-8 text", "utf16be": r"'\x00' is not allowed",
        "binary": "not a UTF-8 text", "large": "10000001 bytes, no search space", "x" * 300: "File name too long",
        "a\0b": "null byte", "absent%s?": "no such search space",
    }.items():  # fmt: skip
        with pytest.raises(SpaceError) as error:
            read(tmp_path / name)
        assert reason in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("name: toy\n", encoding="utf-8-sig")
    assert read(tmp_path / "f.yaml").value == {"name": "toy"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("grid.seeds=[0,1", "not plain YAML: while parsing a flow sequence"),
        ("grid..seeds=1", "write key=value, such as grid.seeds=[0,1]"),
        (".grid=1", "write key=value"),
        ("=3", "write key=value"),
        ("a.b.c", "write key=value"),
        ("grid.seeds[0]=1", "items of lists are named with dots: grid.seeds.0=1"),
        ("grid.seeds.-1=1", "'-1' is not an index below 2"),
        ("grid.seeds.²=1", "'²' is not an index below 2"),
        ("a." * 5000 + "b=1", "no key of a search space is nested so deeply"),
        ("grid.seeds=1\x00", r"the character '\x00' is not allowed"),
    ],
)
def test_override_that_cannot_be_read_is_named(assignment: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        override(Source("f", {"grid": {"seeds": [0, 1]}}), [assignment])
    assert str(error.value).startswith("override '")
    assert message in str(error.value)


def test_place_of_an_item_of_a_list_that_was_overridden_is_the_override() -> None:
    source = override(parse("grid:\n  seeds: [0, 1]\n", "f"), ["grid.seeds.1=x"])
    assert source.place(("grid", "seeds", 1)) == "override 'grid.seeds.1=x'"
    assert source.place(("grid", "seeds", 0)) == "f:2"
