"""Python's types as JSON Schema, and JSON's values as Python's types."""

from __future__ import annotations

import datetime
import unittest
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union
from uuid import UUID

from streamtask import InvalidInput, Schema, parse
from streamtask._types import closed, of

UserId = NewType("UserId", int)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    """A place."""

    x: Annotated[float, "To the right.", Schema(minimum=0)]
    y: float = 0.5


@dataclass
class Tree:
    name: str
    below: list[Tree] = field(default_factory=list)


@dataclass
class Shape:
    points: list[Point]
    colour: Colour = Colour.RED
    note: Optional[str] = None
    mode: Literal["fast", "slow", 3] = "fast"
    extra: dict[str, int] = field(default_factory=dict)


class Options(TypedDict, total=False):
    depth: int


class Schemas(unittest.TestCase):
    def test_simple_types(self) -> None:
        for type, schema in [
            (int, {"type": "integer"}),
            (str | None, {"type": ["string", "null"]}),
            (Union[int, Point], {"anyOf": [{"type": "integer"}, of(Point).schema]}),
            (list[str], {"type": "array", "items": {"type": "string"}}),
            (list, {"type": "array"}),
            (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
            (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
            (Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
            (dict[str, Any], {"type": "object"}),
            (Any, {}),
            (UserId, {"type": "integer"}),
            (Colour, {"enum": ["red", "blue"]}),
            (datetime.date, {"type": "string", "format": "date"}),
        ]:
            with self.subTest(type=type):
                self.assertEqual(of(type).schema, schema)

    def test_a_dataclass_is_an_object_with_its_descriptions_and_defaults(self) -> None:
        self.assertEqual(
            of(Shape).schema,
            {
                "type": "object",
                "properties": {
                    "points": {
                        "type": "array",
                        "items": {
                            "description": "A place.",
                            "type": "object",
                            "properties": {
                                "x": {"description": "To the right.", "type": "number", "minimum": 0},
                                "y": {"type": "number", "default": 0.5},
                            },
                            "required": ["x"],
                        },
                    },
                    "colour": {"enum": ["red", "blue"], "default": "red"},
                    "note": {"type": ["string", "null"], "default": None},
                    "mode": {"enum": ["fast", "slow", 3], "default": "fast"},
                    "extra": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
                },
                "required": ["points"],
            },
        )

    def test_a_type_that_has_itself_within_is_a_definition(self) -> None:
        schema = of(Tree).schema
        self.assertEqual(schema["$ref"], "#/$defs/Tree")
        items = schema["$defs"]["Tree"]["properties"]["below"]["items"]
        self.assertEqual(items, {"$ref": "#/$defs/Tree"})

    def test_an_input_refuses_names_that_are_no_property_unless_it_says_otherwise(self) -> None:
        open_ended = Annotated[Point, Schema(additionalProperties=True)]
        for type, properties in [(Point, {"x", "y"}), (Tree, {"name", "below"})]:
            schema = closed(of(type).schema)
            schema = schema.get("$defs", {}).get("Tree", schema)
            self.assertEqual((set(schema["properties"]), schema["additionalProperties"]), (properties, False))
        self.assertIs(closed(of(open_ended).schema)["additionalProperties"], True)
        values = {"default": {"properties": 1}, "properties": {"default": {"type": "object", "properties": {}}}}
        schema = closed(values)
        self.assertEqual(schema["default"], {"properties": 1})
        self.assertIs(schema["properties"]["default"]["additionalProperties"], False)

    def test_what_json_has_no_form_for_is_refused(self) -> None:
        for type in (bytes, complex, dict[int, str], Schemas):
            with self.subTest(type=type), self.assertRaises(TypeError):
                of(type)


class Values(unittest.TestCase):
    def refused(self, type: Any, value: Any, message: str) -> None:
        with self.assertRaises(InvalidInput) as caught:
            parse(type, value)
        self.assertEqual(str(caught.exception), message)

    def test_objects_within_objects(self) -> None:
        shape = parse(Shape, {"points": [{"x": 1}], "colour": "blue", "mode": 3})
        self.assertEqual(shape, Shape([Point(1.0)], Colour.BLUE, None, 3))
        tree = parse(Tree, {"name": "a", "below": [{"name": "b"}]})
        self.assertEqual(tree.below[0], Tree("b"))
        self.assertEqual(parse(Options, {"depth": 3}), {"depth": 3})
        self.assertEqual(parse(tuple[int, str], [1, "a"]), (1, "a"))
        self.assertEqual(parse(UUID, "12345678-1234-5678-1234-567812345678").int % 16, 8)
        moment = parse(datetime.datetime, "2026-01-02T03:04:05Z")
        self.assertEqual(moment, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc))

    def test_numbers(self) -> None:
        self.assertEqual(parse(int, 100.0), 100)
        self.assertEqual(parse(float, 1), 1)
        self.assertEqual(parse(Decimal, Decimal("7.50")), Decimal("7.50"))
        self.refused(int, 1.5, "#: expected an integer, got a number")
        self.refused(int, True, "#: expected an integer, got a boolean")
        self.refused(float, False, "#: expected a number, got a boolean")
        self.refused(int, float("inf"), "#: expected an integer, got a number")
        self.refused(int, Decimal("1e999999"), "#: expected an integer, got a number")

    def test_the_place_is_named(self) -> None:
        self.refused(Shape, {"points": [{"x": 1}, {"x": "1"}]}, "#/points/1/x: expected a number, got a string")
        self.refused(Shape, {"points": [{}]}, "#/points/0: 'x' is missing")
        self.refused(dict[str, int], {"a/b~": None}, "#/a~1b~0: expected an integer, got null")
        self.refused(Tree, {"name": "a", "below": [{"name": 1}]}, "#/below/0/name: expected a string, got an integer")

    def test_choices(self) -> None:
        self.refused(Colour, "green", "#: expected one of 'red', 'blue', got 'green'")
        self.refused(Literal["a", 1], True, "#: expected one of 'a', 1, got a boolean")
        self.refused(str | None, 5, "#: expected a string or null, got an integer")
        self.refused(int | Point, {"x": "a"}, "#/x: expected a number, got a string")
        self.refused(tuple[int, str], [1], "#: expected an array of 2, got an array")
        self.refused(datetime.date, "soon", "#: expected a date, got 'soon'")
        self.refused(set[list[int]], [[1]], "#: unhashable type: 'list'")


if __name__ == "__main__":
    unittest.main()
