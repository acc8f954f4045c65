"""Open kinds: what a recipe chooses by name, such as a strategy or a reader, and where the choices come from.

Ours are the classes in the modules of a folder, so a new file there is all that it takes. An installed package adds
its own by an entry point of the kind's group. It is imported when a recipe names it, or for the form that offers all
choices; a broken one is an error for those alone who name it. Its name and version are part of the key of every step
that uses it (`plugins_used`).
"""

import difflib
import logging
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, NamedTuple, TypeVar, cast

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, SchemaValidator, core_schema

from evenkeel.infra.errors import PluginError, RecipeError

Member = TypeVar("Member", covariant=True)
LOG = logging.getLogger(__name__)
REGISTRIES: "list[Registry[object]]" = []


class Plugin(NamedTuple):
    """The installed package that a member comes from."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Registry(Generic[Member]):
    """The members of one kind, by name.

    kind: what a member is called in messages. base: the class that members derive from. tag: the attribute, or the
    field with one value, that holds a member's name. folder: the package whose modules hold ours. group: of the entry
    points by which installed packages add members.
    """

    def __init__(self, kind: str, base: type[Member], *, tag: str, folder: str, group: str) -> None:
        self.kind, self.base, self.tag, self.folder, self.group = kind, base, tag, folder, group
        self._modules: dict[str, dict[str, type[Member]]] = {}
        self._added: dict[str, type[Member]] = {}
        REGISTRIES.append(self)

    def get(self, name: str) -> type[Member]:
        """Return the member called `name`.

        Raises RecipeError where there is none, PluginError where an installed package gives a name twice, takes one of
        ours, or cannot be loaded.
        """
        added, ours = _points(self.group).get(name, []), self._ours(name)
        if added and ours is not None:
            raise PluginError(
                f"{plugin_of(added[0])} adds a {self.kind} called {name!r}, which is a name of Evenkeel's own",
                remedy=f"remove that package, or have it choose another name in {self.group}",
            )
        if ours is not None:
            return ours
        if len(added) > 1:
            owners = " and ".join(sorted(str(plugin_of(point)) for point in added))
            raise PluginError(f"{owners} both add a {self.kind} called {name!r}", remedy="remove one of them")
        if not added:
            names = self.names()
            close = difflib.get_close_matches(name, names, n=1)
            raise RecipeError(
                f"there is no {self.kind} {name!r}",
                remedy=f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}",
            )
        if name not in self._added:
            self._added[name] = self._load(added[0])
        return self._added[name]

    def check(self, name: str) -> None:
        """Raise as `get` does. One of ours that stands in the file of its name is not imported for it."""
        if name in _points(self.group) or _module_of(name) not in _modules(self.folder):
            self.get(name)

    def names(self) -> list[str]:
        """Return the names of all members, ours first; nothing of an installed package is imported."""
        ours = sorted(self.ours())
        return ours + sorted(name for name in _points(self.group) if name not in ours)

    def ours(self) -> dict[str, type[Member]]:
        """Return our own members by name: modules by name, classes of a module as they stand in it."""
        found: dict[str, type[Member]] = {}
        for module in _modules(self.folder):
            for name, member in self._in_module(module).items():
                if name in found:
                    raise TypeError(f"{found[name]} and {member} are both called {name!r}")
                found[name] = member
        return found

    def members(self) -> dict[str, type[Member]]:
        """Return all members by name, ours first; what cannot be loaded is left out and logged."""
        found = self.ours()
        for name in sorted(_points(self.group)):
            try:
                found.setdefault(name, self.get(name))
            except PluginError as error:
                LOG.warning("%s", error)
        return found

    def plugin(self, name: str) -> Plugin | None:
        """Return the installed package that the member called `name` comes from, None for ours."""
        added = _points(self.group).get(name)
        return plugin_of(added[0]) if added else None

    def name_of(self, member: type[object]) -> str | None:
        """Return the name that a class gives itself, None where it gives none and so is no member."""
        field = member.model_fields.get(self.tag) if issubclass(member, BaseModel) else None
        name = getattr(member, self.tag, None) if field is None else field.default
        return name if isinstance(name, str) and name else None

    def _ours(self, name: str) -> type[Member] | None:
        """Return our member of a name. One in the file of its name is found without importing the others."""
        module = _module_of(name)
        if module in _modules(self.folder) and name in (found := self._in_module(module)):
            return found[name]
        return self.ours().get(name)

    def _in_module(self, module: str) -> dict[str, type[Member]]:
        if module not in self._modules:
            place = f"{self.folder}.{module}"
            classes = [value for value in vars(import_module(place)).values() if isinstance(value, type)]
            own = [value for value in classes if value.__module__ == place and issubclass(value, self.base)]
            self._modules[module] = {name: value for value in own if (name := self.name_of(value)) is not None}
        return self._modules[module]

    def _load(self, point: EntryPoint) -> type[Member]:
        what = f"the {self.kind} {point.name!r} of {plugin_of(point)}"
        try:
            found = point.load()
        except Exception as error:  # whatever a foreign module does when it is imported
            raise PluginError(
                f"{what} cannot be loaded: {type(error).__name__}: {error}", remedy="repair or remove that package"
            ) from error
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise PluginError(f"{what} is {point.value}, which is no subclass of {self.base.__qualname__}")
        if self.name_of(found) != point.name:
            raise PluginError(f"{what} calls itself {self.name_of(found)!r} in its field {self.tag!r}")
        return found


class MemberOf:
    """Marks a field that holds a member of a kind: `Annotated[Strategy, MemberOf(STRATEGIES)]`.

    It reads `{tag: name, option: value, ...}` as the model of that name and no other; the JSON schema offers all.
    """

    def __init__(self, registry: Registry[BaseModel]) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        members = self.registry.members().values()
        return handler(core_schema.union_schema([_named_schema(member) for member in members]))

    def _validate(self, value: object) -> object:
        registry = self.registry
        if isinstance(value, registry.base):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("model_attributes_type")
        if (name := value.get(registry.tag)) is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": repr(registry.tag)})
        with _one_line():
            member = registry.get(str(name))
        return _validator(member, registry.tag, str(name)).validate_python(value)


class NameOf:
    """Marks a field that holds the name of a member of a kind, or one of the words in `also`."""

    def __init__(self, registry: Registry[object], also: tuple[str, ...] = ()) -> None:
        self.registry, self.also = registry, also

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": [*self.also, *self.registry.names()]}

    def _validate(self, name: str) -> str:
        if name not in self.also:
            with _one_line():
                self.registry.check(name)
        return name


def plugins_used(config: object) -> dict[str, str]:
    """Return which installed packages a config draws on: {"strategy my-rule": "my-package 1.2"}."""
    return dict(_plugins_used(config))


def plugin_of(point: EntryPoint) -> Plugin:
    """Return the installed package that an entry point belongs to."""
    assert point.dist is not None
    return Plugin(point.dist.name, point.dist.version)


def _plugins_used(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for registry in REGISTRIES:
            if isinstance(value, registry.base):
                yield from _added(registry, registry.name_of(type(value)))
        for name, field in type(value).model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, NameOf):
                    yield from _added(mark.registry, getattr(value, name))
            yield from _plugins_used(getattr(value, name))
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _plugins_used(inner)


def _added(registry: Registry[object], name: str | None) -> Iterator[tuple[str, str]]:
    if name is not None and (plugin := registry.plugin(name)) is not None:
        yield f"{registry.kind} {name}", str(plugin)


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn RecipeError into ValueError in one line: pydantic puts the field before it."""
    try:
        yield
    except RecipeError as error:
        raise ValueError(f"{error.message}; {error.remedy}" if error.remedy else error.message) from error


def _named_schema(member: type[BaseModel]) -> CoreSchema:
    """Return a model's core schema under the name by which pydantic puts it among the definitions of a JSON schema."""
    schema = member.__pydantic_core_schema__
    if "ref" in schema or schema["type"] == "definitions":
        return schema
    return cast(CoreSchema, {**schema, "ref": f"{member.__module__}.{member.__qualname__}:{id(member)}"})


def _module_of(name: str) -> str:
    return name.replace("-", "_")


@lru_cache
def _modules(folder: str) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(import_module(folder).__path__)))


def _points(group: str) -> dict[str, list[EntryPoint]]:
    return _points_on(group, tuple(sys.path))


@lru_cache
def _points_on(group: str, path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


@lru_cache
def _validator(member: type[BaseModel], tag: str, name: str) -> SchemaValidator:
    """Return what reads a member, and names it in the place of every problem as a union of models does."""
    return SchemaValidator(core_schema.tagged_union_schema({name: member.__pydantic_core_schema__}, tag))
