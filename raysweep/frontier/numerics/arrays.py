"""The array types of the estimator, and how each is written to JSON: as a list, with null for what is not finite."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
"""A JSON value."""


@dataclass(frozen=True)
class AsJson:
    """Tell pydantic how to write a number or an array, and how to read it back.

    Attributes:
        kind: of the elements: "float", "int" or "object".
        absent: the number that null stands for.
    """

    kind: str = "float"
    absent: float = float("nan")

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema  # here, since a fit needs no pydantic

        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def read(self, value: Plain) -> object:
        """Convert a JSON number or list to a number or an array."""
        if self.kind == "object":
            return np.array(value, dtype=object)
        if isinstance(value, list):
            return np.array([self.absent if item is None else item for item in value], dtype=self.kind)
        if value is None:
            return self.absent
        if isinstance(value, int | float):
            return float(value)
        raise ValueError(f"expected a number or a list of numbers, found {type(value).__name__}")

    def write(self, value: NDArray[np.generic] | float) -> Plain:
        """Convert a number or an array to a JSON number or list."""
        items: Plain = np.asarray(value).tolist()
        return [self._item(item) for item in items] if isinstance(items, list) else self._item(items)

    def _item(self, item: Plain) -> Plain:
        if self.kind == "object":
            return None if item is None else str(item)
        return item if isinstance(item, int | float) and np.isfinite(item) else None


Floats: TypeAlias = Annotated[NDArray[np.float64], AsJson()]
Indices: TypeAlias = Annotated[NDArray[np.int64], AsJson("int")]
Labels: TypeAlias = Annotated[NDArray[np.object_], AsJson("object")]
Mask: TypeAlias = NDArray[np.bool_]
Scalar: TypeAlias = Annotated[float, AsJson()]
Number: TypeAlias = Annotated[float | NDArray[np.float64], AsJson()]
"""One number, or an array of one per bootstrap."""
