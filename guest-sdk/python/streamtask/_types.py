"""Conversion of Python types to JSON Schema, and of JSON values to Python types."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import datetime
import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, cast
from uuid import UUID

from ._errors import InvalidInput
from ._json import plain

T = TypeVar("T")

JsonSchema = dict[str, Any]
Read = Callable[[Any, str], Any]
"""Converts a JSON value to the type; the text is the value's JSON pointer, for errors."""

REQUIRED: Any = inspect.Parameter.empty


class Schema:
    """JSON Schema keywords in addition to those of a type, which the host checks and people
    can read: `Annotated[int, "How many.", Schema(minimum=1, maximum=10)]`. A text in
    `Annotated` is the description."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __repr__(self) -> str:
        return f"Schema({', '.join(f'{name}={value!r}' for name, value in self.keywords.items())})"


@dataclass(frozen=True)
class Type:
    """A type: its JSON Schema, and its conversion from JSON."""

    schema: JsonSchema
    read: Read
    exact: bool = False
    """Whether numbers must keep their exact decimal value."""


@dataclass(frozen=True)
class Member:
    """A property of an object."""

    name: str
    type: Any
    default: Any = REQUIRED
    required: bool = True


def of(annotation: Any) -> Type:
    """The conversion of a type. Raises TypeError if JSON can't represent it."""
    return _finish(lambda maker: maker.make(annotation))


def of_members(members: list[Member], description: str | None = None) -> Type:
    """An object with these properties, converted to a `dict`."""
    return _finish(lambda maker: maker.members(members, lambda **values: values, description))


def _finish(make: Callable[[_Maker], tuple[JsonSchema, Read]]) -> Type:
    maker = _Maker()
    schema, read = make(maker)
    if maker.definitions:
        schema = {**schema, "$defs": maker.definitions}
    return Type(schema, read, maker.exact)


def parse(type: type[T], value: Any) -> T:
    """Converts a JSON value to a type, like the input of a task: for example, the payload of a
    signal. Raises `InvalidInput`, which, uncaught, fails the run with the code
    `invalid-input`.

    >>> parse(list[int], [1, "2"])
    Traceback (most recent call last):
    streamtask._errors.InvalidInput: #/1: expected an integer, got a string
    """
    return cast(T, of(type).read(value, "#"))


class _Maker:
    """Builds one type and the types in it."""

    def __init__(self) -> None:
        self.exact = False
        self.definitions: dict[str, JsonSchema] = {}
        self._under_way: dict[Any, list[Read]] = {}
        self._recursive: set[Any] = set()

    def make(self, annotation: Any) -> tuple[JsonSchema, Read]:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:])
        simple = _SIMPLE.get(annotation)
        if simple is not None:
            return dict(simple[0]), simple[1]
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is Literal:
            return _choice(list(arguments), {value: value for value in arguments})
        if annotation is Decimal:
            self.exact = True
            return {"type": "number"}, _decimal
        if hasattr(annotation, "__supertype__"):
            return self.make(annotation.__supertype__)
        if hasattr(annotation, "__value__"):
            return self.make(annotation.__value__)
        if origin in (typing.Required, typing.NotRequired) if sys.version_info >= (3, 11) else False:
            return self.make(arguments[0])
        container = origin or annotation
        if container in _LISTS:
            return self._list(_LISTS[container], arguments)
        if container in _DICTS:
            return self._dict(arguments)
        if container is tuple:
            return self._tuple(arguments)
        if isinstance(annotation, type):
            return self._class(annotation)
        raise TypeError(f"the type {annotation!r} can't be represented in JSON")

    def _annotated(self, annotation: Any, notes: tuple[Any, ...]) -> tuple[JsonSchema, Read]:
        schema, read = self.make(annotation)
        for note in notes:
            if isinstance(note, str):
                schema = {"description": note, **schema}
            elif isinstance(note, Schema):
                schema = {**schema, **note.keywords}
        return schema, read

    def _union(self, arguments: tuple[Any, ...]) -> tuple[JsonSchema, Read]:
        made = [self.make(argument) for argument in arguments]
        schemas, reads = [schema for schema, _ in made], [read for _, read in made]

        def read(value: Any, place: str) -> Any:
            deepest: InvalidInput | None = None
            for read_one in reads:
                try:
                    return read_one(value, place)
                except InvalidInput as error:
                    # The alternative that matched furthest is most likely the intended one.
                    if deepest is None or len(error.place) > len(deepest.place):
                        deepest = error
            if deepest is not None and deepest.place != place:
                raise deepest
            raise InvalidInput(place, f"expected {' or '.join(map(_said, schemas))}, got {_kind(value)}")

        if all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}, read
        return {"anyOf": schemas}, read

    def _list(self, make: Callable[[Any], Any], arguments: tuple[Any, ...]) -> tuple[JsonSchema, Read]:
        item, read_item = self.make(arguments[0] if arguments else Any)
        schema: JsonSchema = {"type": "array"}
        if item:
            schema["items"] = item
        if make is not list:
            schema["uniqueItems"] = True

        def read(value: Any, place: str) -> Any:
            _expect(isinstance(value, list), "an array", value, place)
            try:
                return make(read_item(one, f"{place}/{index}") for index, one in enumerate(value))
            except TypeError as error:
                raise InvalidInput(place, str(error)) from None

        return schema, read

    def _dict(self, arguments: tuple[Any, ...]) -> tuple[JsonSchema, Read]:
        if arguments and arguments[0] not in (str, Any):
            raise TypeError(f"the keys of an object are of type str, not {arguments[0]!r}")
        item, read_item = self.make(arguments[1] if arguments else Any)
        schema: JsonSchema = {"type": "object"}
        if item:
            schema["additionalProperties"] = item

        def read(value: Any, place: str) -> Any:
            _expect(isinstance(value, dict), "an object", value, place)
            return {key: read_item(one, _below(place, key)) for key, one in value.items()}

        return schema, read

    def _tuple(self, arguments: tuple[Any, ...]) -> tuple[JsonSchema, Read]:
        if not arguments or arguments[-1] is Ellipsis:
            schema, read_list = self._list(list, arguments[:1])
            return schema, lambda value, place: tuple(read_list(value, place))
        made = [self.make(argument) for argument in arguments]
        size = len(made)
        schema = {
            "type": "array",
            "prefixItems": [item for item, _ in made],
            "minItems": size,
            "maxItems": size,
        }

        def read(value: Any, place: str) -> Any:
            fits = isinstance(value, list) and len(value) == size
            _expect(fits, f"an array of {size}", value, place)
            items = enumerate(zip(made, value))
            return tuple(read_one(one, f"{place}/{index}") for index, ((_, read_one), one) in items)

        return schema, read

    def _class(self, cls: type) -> tuple[JsonSchema, Read]:
        if issubclass(cls, Enum):
            return _choice([member.value for member in cls], {member.value: member for member in cls})
        if cls in self._under_way:
            self._recursive.add(cls)
            held = self._under_way[cls]
            return {"$ref": f"#/$defs/{cls.__name__}"}, lambda value, place: held[0](value, place)
        held = self._under_way[cls] = []
        schema, read = self.members(members_of(cls), cls, _description(cls))
        held.append(read)
        del self._under_way[cls]
        if cls in self._recursive:
            self.definitions[cls.__name__] = schema
            return {"$ref": f"#/$defs/{cls.__name__}"}, read
        return schema, read

    def members(
        self, members: list[Member], build: Callable[..., Any], description: str | None
    ) -> tuple[JsonSchema, Read]:
        schema: JsonSchema = {"description": description} if description else {}
        properties: dict[str, JsonSchema] = {}
        reads: list[tuple[str, Read, bool]] = []
        for member in members:
            said, read_member = self.make(member.type)
            properties[member.name] = _with_default(said, member)
            reads.append((member.name, read_member, member.required))
        schema |= {"type": "object", "properties": properties}
        required = [member.name for member in members if member.required]
        if required:
            schema["required"] = required

        def read(value: Any, place: str) -> Any:
            _expect(isinstance(value, dict), "an object", value, place)
            values = {}
            for name, read_member, is_required in reads:
                if name in value:
                    values[name] = read_member(value[name], _below(place, name))
                elif is_required:
                    raise InvalidInput(place, f"{name!r} is missing")
            try:
                return build(**values)
            except InvalidInput:
                raise
            except (ValueError, TypeError) as error:
                # Raised by the class itself, for example in `__post_init__`.
                raise InvalidInput(place, str(error)) from error

        return schema, read


def closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` wherever it lists properties and does not mention others, because a
    misspelt one would be ignored silently."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made: JsonSchema = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs"):
            made[keyword] = {name: closed(one) for name, one in value.items()}
        else:
            # These contain values, not schemas.
            made[keyword] = value if keyword in ("default", "enum", "const", "examples") else closed(value)
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def members_of(cls: type) -> list[Member]:
    """The properties of a dataclass or TypedDict. The types that it names must be defined."""
    hints = typing.get_type_hints(cls, include_extras=True)
    if typing.is_typeddict(cls):
        required: frozenset[str] = cls.__required_keys__  # type: ignore[attr-defined]
        return [Member(name, hint, REQUIRED, name in required) for name, hint in hints.items()]
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"the type {cls.__qualname__} can't be represented in JSON: make it a dataclass")
    return [
        Member(field.name, hints[field.name], default, default is REQUIRED)
        for field in dataclasses.fields(cls)
        if field.init
        for default in [_default(field)]
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def _with_default(schema: JsonSchema, member: Member) -> JsonSchema:
    if member.default is REQUIRED:
        return schema
    try:
        return {**schema, "default": plain(member.default)}
    except (TypeError, ValueError):
        # JSON can't represent it, and clients can't send it anyway.
        return schema


def _description(cls: type) -> str | None:
    text = inspect.getdoc(cls) if cls.__doc__ else None
    # `dataclass` generates a docstring with the signature.
    return None if text is None or text.startswith(f"{cls.__name__}(") else text


def _choice(values: list[Any], by_value: dict[Any, Any]) -> tuple[JsonSchema, Read]:
    # Python considers 1, 1.0 and True equal.
    members = {(type(value), value): member for value, member in by_value.items()}

    def read(value: Any, place: str) -> Any:
        if isinstance(value, (str, int, bool, type(None))) and (type(value), value) in members:
            return members[type(value), value]
        said = ", ".join(repr(one) for one in values)
        raise InvalidInput(place, f"expected one of {said}, got {_shown(value)}")

    return {"enum": values}, read


def _boolean(value: Any, place: str) -> bool:
    _expect(isinstance(value, bool), "a boolean", value, place)
    return bool(value)


def _integer(value: Any, place: str) -> int:
    if isinstance(value, Decimal):
        # Not shown in full: it may have a million digits.
        value = float(value)
    # In JSON Schema, 1e2 is an integer, too.
    fits = isinstance(value, float) and value.is_integer()
    fits = fits or isinstance(value, int) and not isinstance(value, bool)
    _expect(fits, "an integer", value, place)
    return int(value)


def _number(value: Any, place: str) -> float:
    _expect(isinstance(value, (int, float, Decimal)) and not isinstance(value, bool), "a number", value, place)
    return int(value) if isinstance(value, int) else float(value)


def _decimal(value: Any, place: str) -> Decimal:
    _number(value, place)
    return Decimal(value)


def _string(value: Any, place: str) -> str:
    _expect(isinstance(value, str), "a string", value, place)
    return str(value)


def _null(value: Any, place: str) -> None:
    _expect(value is None, "null", value, place)


def _anything(value: Any, place: str) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_anything(one, place) for one in value]
    if isinstance(value, dict):
        return {key: _anything(one, place) for key, one in value.items()}
    return value


def _parsed(make: Callable[[str], Any], what: str) -> Read:
    def read(value: Any, place: str) -> Any:
        _expect(isinstance(value, str), what, value, place)
        try:
            return make(value)
        except ValueError:
            raise InvalidInput(place, f"expected {what}, got {_shown(value)}") from None

    return read


def _datetime(text: str) -> datetime.datetime:
    # Python 3.10 does not accept the Z.
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))


_SIMPLE: dict[Any, tuple[JsonSchema, Read]] = {
    Any: ({}, _anything),
    object: ({}, _anything),
    REQUIRED: ({}, _anything),
    bool: ({"type": "boolean"}, _boolean),
    int: ({"type": "integer"}, _integer),
    float: ({"type": "number"}, _number),
    str: ({"type": "string"}, _string),
    None: ({"type": "null"}, _null),
    type(None): ({"type": "null"}, _null),
    datetime.datetime: ({"type": "string", "format": "date-time"}, _parsed(_datetime, "a date and time")),
    datetime.date: ({"type": "string", "format": "date"}, _parsed(datetime.date.fromisoformat, "a date")),
    UUID: ({"type": "string", "format": "uuid"}, _parsed(UUID, "a UUID")),
}
_LISTS: dict[Any, Callable[[Any], Any]] = {
    list: list,
    abc.Sequence: list,
    abc.Iterable: list,
    set: set,
    frozenset: frozenset,
    abc.Set: frozenset,
}
_DICTS = {dict, abc.Mapping, abc.MutableMapping}


def _expect(fits: bool, what: str, value: Any, place: str) -> None:
    if not fits:
        raise InvalidInput(place, f"expected {what}, got {_kind(value)}")


def _below(place: str, key: str) -> str:
    return f"{place}/{key.replace('~', '~0').replace('/', '~1')}"


def _kind(value: Any) -> str:
    """The kind of a JSON value, for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (float, Decimal)):
        return "a number"
    kinds = {int: "an integer", str: "a string", list: "an array", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)


def _said(schema: JsonSchema) -> str:
    kind = schema.get("type", "another value")
    return str(kind if kind == "null" else f"an {kind}" if str(kind)[0] in "aio" else f"a {kind}")


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) <= 40 else _kind(value)
