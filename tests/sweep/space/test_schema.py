"""The JSON schema that editors read beside the example search spaces."""

import json
from pathlib import Path

import jsonschema
import pytest

from raysweep.sweep.space.space import Space, yaml_lines

EXAMPLES = Path(__file__).parents[3] / "search_spaces"
SCHEMA = json.loads((EXAMPLES / "schema.json").read_text())


def test_schema_file_is_the_one_that_raysweep_schema_prints() -> None:
    assert Space.model_json_schema() == SCHEMA, "run `raysweep schema > search_spaces/schema.json`"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_example_names_the_schema_and_is_valid_by_it(path: Path) -> None:
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    jsonschema.validate(yaml_lines.read(path).value, SCHEMA)


def test_schema_finds_a_misspelt_key_and_takes_a_ladder_of_parameters() -> None:
    content = yaml_lines.read(EXAMPLES / "quickstart.yaml").value
    assert isinstance(content, dict)
    content["families"]["mpnn"]["sizes"] = {"params": {"from": 1e4, "to": 1e6, "steps": 4}}
    jsonschema.validate(content, SCHEMA)
    content["grid"]["sede"] = [0]
    with pytest.raises(jsonschema.ValidationError, match="sede"):
        jsonschema.validate(content, SCHEMA)
