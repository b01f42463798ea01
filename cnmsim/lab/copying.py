"""A deep copy of a simulated world, made without recursion.

`copy.deepcopy` does not copy functions: a closure scheduled on the clock would run in the original. This module
copies closures, bound methods and partial applications too, so that nothing in the copy refers to the original. A
frozen object or tuple is not copied if everything in it is the same in the copy. An object that cannot be copied,
such as an open file, raises an error that names its type.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import itertools
import logging
import operator
import pathlib
import random
import re
import threading
import types
import weakref
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from cnmsim.errors import Unavailable

#: Types whose objects are not copied. A bare `object()` is a sentinel, which is compared by identity.
_SHARED: frozenset[type] = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, range, slice, object, type(Ellipsis), type(NotImplemented),
        types.ModuleType, types.CodeType, types.BuiltinFunctionType, types.WrapperDescriptorType,
        types.GetSetDescriptorType,
        types.MethodDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType, re.Pattern, property,
        operator.attrgetter, operator.itemgetter, type(functools.lru_cache(lambda: None)),
        dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone,
    }
)  # fmt: skip
_SHARED_BASES = (
    type,
    Enum,
    pathlib.PurePath,
    ipaddress._BaseAddress,
    ipaddress._BaseNetwork,
    logging.Logger,
    str,
    bytes,
    int,
    float,
)
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_COROUTINES = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
_CACHED_HASH = "_attrs_cached_hash"

_Handler = Callable[[Any], Any]


class Copier:
    """Copies one graph of objects. Use one `Copier` for each graph.

    `instead` maps a class to a function that copies objects of this class in place of the default way. The function
    is called with the object and this copier; to copy an object that a field refers to, it may call `take`.
    """

    def __init__(self, instead: Mapping[type, Callable[[Any, Copier], Any]]) -> None:
        self._memo: dict[int, Any] = {}
        # An object whose `id` is a key of the memo must live until the copy is complete.
        self._held: list[Any] = []
        self._unfilled: deque[tuple[Callable[[Any, Any], None], Any, Any]] = deque()
        # Filled last: the hash of a key may depend on the key's fields.
        self._hashed: deque[tuple[Callable[[Any, Any], None], Any, Any]] = deque()
        self._handlers: dict[type, _Handler] = {
            cls: functools.partial(self._instead, make) for cls, make in instead.items()
        }

    def copy(self, thing: Any) -> Any:
        """Return a copy of `thing` and of everything reachable from it.

        Raises `Unavailable`, with the name of the type, for an object that cannot be copied.
        """
        copied = self.take(thing)
        while self._unfilled or self._hashed:
            while self._unfilled:
                fill, old, new = self._unfilled.popleft()
                fill(old, new)
            if self._hashed:
                fill, old, new = self._hashed.popleft()
                fill(old, new)
        return copied

    def take(self, thing: Any) -> Any:
        """Return the copy of `thing`, whose fields may still be empty; they are filled before `copy` returns."""
        cls = type(thing)
        if cls in _SHARED:
            return self._builtin(thing) if cls is types.BuiltinFunctionType else thing
        copied = self._memo.get(id(thing))
        if copied is not None:
            return copied
        handler = self._handlers.get(cls)
        if handler is None:
            handler = self._handlers[cls] = self._handler(cls)
        return handler(thing)

    def remember(self, old: Any, new: Any) -> Any:
        """Register `new` as the copy of `old`, so that later references to `old` become `new`. Return `new`."""
        self._memo[id(old)] = new
        self._held.append(old)
        return new

    def fill_later(self, old: Any, new: Any) -> None:
        """Schedule the fields of `new` to be filled with copies of the fields of `old`."""
        self._unfilled.append((self._filler(type(old)), old, new))

    def _instead(self, make: Callable[[Any, Copier], Any], thing: Any) -> Any:
        return self.remember(thing, make(thing, self))

    # ---- by class

    def _handler(self, cls: type) -> _Handler:
        for kind, handler in self._kinds():
            if issubclass(cls, kind):
                return handler
        if cls is types.FunctionType:
            return self._function
        if issubclass(cls, _SHARED_BASES):
            return _same
        if issubclass(cls, weakref.ReferenceType):
            return lambda thing: self.remember(
                thing, cls(self.take(target)) if (target := thing()) is not None else thing
            )
        if (cls.__new__ is object.__new__ or isinstance(cls.__new__, types.FunctionType)) and _holds_only_slots(cls):
            return self._frozen(cls) if _is_frozen(cls) else self._object(cls)
        return self._foreign

    def _kinds(self) -> tuple[tuple[Any, _Handler], ...]:
        return (
            (list, self._sequence),
            (defaultdict, self._defaultdict),
            ((dict, OrderedDict), self._dict),
            (set, self._set),
            (deque, self._deque),
            (tuple, self._tuple),
            (frozenset, self._frozenset),
            (types.MethodType, self._method),
            (functools.partial, self._partial),
            (types.CellType, self._cell),
            (weakref.WeakValueDictionary, self._weak_values),
            (types.MethodWrapperType, lambda thing: getattr(self.take(thing.__self__), thing.__name__)),
            (random.Random, self._random),
            (array, lambda thing: self.remember(thing, thing[:])),
            (bytearray, lambda thing: self.remember(thing, bytearray(thing))),
            (
                types.MappingProxyType,
                lambda thing: self.remember(thing, types.MappingProxyType(self.take(dict(thing)))),
            ),
            (itertools.count, lambda thing: self.remember(thing, itertools.count(*_arguments_of(thing)))),
            (type(threading.Lock()), lambda thing: self.remember(thing, threading.Lock())),
            (BaseException, self._exception),
            (_COROUTINES, _refuse),
        )

    def _object(self, cls: type) -> _Handler:
        memo, held, unfilled, filler = self._memo, self._held, self._unfilled, self._filler(cls)
        new: Any = cls.__new__

        def handler(thing: Any) -> Any:
            copied = memo[id(thing)] = new(cls)
            held.append(thing)
            unfilled.append((filler, thing, copied))
            return copied

        return handler if new is object.__new__ else functools.partial(self._slow_object, cls)

    def _slow_object(self, cls: type, thing: Any) -> Any:
        copied = self.remember(thing, object.__new__(cls))
        self.fill_later(thing, copied)
        return copied

    def _filler(self, cls: type) -> Callable[[Any, Any], None]:
        slots = [(member.__get__, member.__set__) for member in _slots(cls)]
        take = self.take

        def fill(old: Any, new: Any) -> None:
            for get, put in slots:
                try:
                    value = get(old)
                except AttributeError:  # a slot that was never set
                    continue
                put(new, value if type(value) in _PLAIN else take(value))
            held = getattr(old, "__dict__", None)
            if held:
                new.__dict__.update({name: take(value) for name, value in held.items()})

        return fill

    def _frozen(self, cls: type) -> _Handler:
        """Return the function that copies objects of the frozen class `cls`.

        That function copies the fields. If the copy of each field is the field itself, it returns the original
        object.
        """
        slots = _slots(cls)

        def handler(thing: Any) -> Any:
            values = []
            is_same = True
            for member in slots:
                if member.__name__ == _CACHED_HASH:  # the hash of the original; the copy computes its own
                    values.append((member, None))
                    continue
                try:
                    old = member.__get__(thing)
                except AttributeError:
                    continue
                new = self.take(old)
                is_same = is_same and new is old
                values.append((member, new))
            held = {name: self.take(value) for name, value in getattr(thing, "__dict__", {}).items()}
            if is_same and all(value is thing.__dict__[name] for name, value in held.items()):
                return self.remember(thing, thing)
            copied = self.remember(thing, object.__new__(cls))
            for member, value in values:
                member.__set__(copied, value)
            if held:
                copied.__dict__.update(held)
            return copied

        return handler

    # ---- containers

    def _sequence(self, thing: Any) -> Any:
        copied = self.remember(thing, _blank(thing))
        self._unfilled.append((self._fill_list, thing, copied))
        return copied

    def _fill_list(self, old: list[Any], new: list[Any]) -> None:
        take = self.take
        new.extend([value if type(value) in _PLAIN else take(value) for value in old])
        self._fill_more(old, new, list)

    def _fill_more(self, old: Any, new: Any, base: type) -> None:
        if type(old) is not base:
            self._filler(type(old))(old, new)

    def _dict(self, thing: Any) -> Any:
        copied = self.remember(thing, _blank(thing))
        self._hashed.append((self._fill_dict, thing, copied))
        for key in thing:  # to be filled before they are hashed
            self.take(key)
        return copied

    def _defaultdict(self, thing: Any) -> Any:
        copied = self.remember(thing, defaultdict(self.take(thing.default_factory)))
        self._hashed.append((self._fill_dict, thing, copied))
        for key in thing:
            self.take(key)
        return copied

    def _fill_dict(self, old: dict[Any, Any], new: dict[Any, Any]) -> None:
        take = self.take
        for key, value in dict.items(old):
            dict.__setitem__(
                new,
                key if type(key) in _PLAIN else take(key),
                value if type(value) in _PLAIN else take(value),
            )
        if type(old) not in {dict, defaultdict}:
            self._fill_more(old, new, dict)

    def _weak_values(self, thing: Any) -> Any:
        copied: weakref.WeakValueDictionary[Any, Any] = self.remember(thing, weakref.WeakValueDictionary())
        self._hashed.append((self._fill_weak_values, thing, copied))
        return copied

    def _fill_weak_values(self, old: Any, new: Any) -> None:
        for key, value in old.items():
            new[self.take(key)] = self.take(value)

    def _set(self, thing: Any) -> Any:
        copied = self.remember(thing, _blank(thing))
        self._hashed.append((self._fill_set, thing, copied))
        for value in thing:
            self.take(value)
        return copied

    def _fill_set(self, old: set[Any], new: set[Any]) -> None:
        new.update([self.take(value) for value in old])

    def _deque(self, thing: Any) -> Any:
        copied: deque[Any] = self.remember(thing, deque(maxlen=thing.maxlen))
        self._unfilled.append((self._fill_deque, thing, copied))
        return copied

    def _fill_deque(self, old: deque[Any], new: deque[Any]) -> None:
        new.extend([self.take(value) for value in old])

    def _tuple(self, thing: Any) -> Any:
        values = [self.take(value) for value in thing]
        if all(new is old for new, old in zip(values, thing, strict=True)):
            return self.remember(thing, thing)
        return self.remember(thing, tuple.__new__(type(thing), values))

    def _frozenset(self, thing: Any) -> Any:
        pairs = [(self.take(value), value) for value in thing]
        if all(new is old for new, old in pairs):
            return self.remember(thing, thing)
        return self.remember(thing, frozenset(new for new, _ in pairs))

    # ---- callables

    def _function(self, thing: Any) -> Any:
        cells = thing.__closure__
        if not cells and not thing.__defaults__ and not thing.__kwdefaults__:
            return thing
        closure = tuple(self.take(cell) for cell in cells or ())
        defaults = self.take(thing.__defaults__)
        if not cells and defaults is thing.__defaults__ and not thing.__kwdefaults__:
            return self.remember(thing, thing)
        copied = types.FunctionType(thing.__code__, thing.__globals__, thing.__name__, defaults, closure)
        copied.__qualname__, copied.__module__ = thing.__qualname__, thing.__module__
        copied.__kwdefaults__ = self.take(thing.__kwdefaults__)
        return self.remember(thing, copied)

    def _cell(self, thing: Any) -> Any:
        copied = self.remember(thing, types.CellType())

        def fill(old: Any, new: Any) -> None:
            try:
                new.cell_contents = self.take(old.cell_contents)
            except ValueError:  # a variable that has no value yet
                return

        self._unfilled.append((fill, thing, copied))
        return copied

    def _method(self, thing: Any) -> Any:
        function, owner = self.take(thing.__func__), self.take(thing.__self__)
        same = owner is thing.__self__ and function is thing.__func__
        return self.remember(thing, thing if same else types.MethodType(function, owner))

    def _builtin(self, thing: Any) -> Any:
        owner = thing.__self__
        if owner is None or isinstance(owner, (types.ModuleType, type)):
            return thing
        copied = self.take(owner)
        return thing if copied is owner else getattr(copied, thing.__name__)

    def _partial(self, thing: Any) -> Any:
        copied = self.remember(thing, type(thing)(thing.func))

        def fill(old: Any, new: Any) -> None:
            new.__setstate__((self.take(old.func), self.take(old.args), dict(self._items(old.keywords)), None))

        self._unfilled.append((fill, thing, copied))
        return copied

    def _items(self, held: Mapping[str, Any]) -> list[tuple[str, Any]]:
        return [(name, self.take(value)) for name, value in held.items()]

    # ---- others

    def _random(self, thing: Any) -> Any:
        copied = type(thing)()
        copied.setstate(thing.getstate())
        return self.remember(thing, copied)

    def _exception(self, thing: Any) -> Any:
        copied = self.remember(thing, _blank(thing, *thing.args))
        self.fill_later(thing, copied)
        return copied

    def _foreign(self, thing: Any) -> Any:
        """Return an object of a C type unchanged if it is known to be immutable; otherwise raise `Unavailable`."""
        if type(thing).__module__.startswith(("cryptography", "_hashlib")):  # keys are immutable
            return thing
        raise _uncopyable(thing)


def _blank(thing: Any, *arguments: Any) -> Any:
    cls: Any = type(thing)
    return cls.__new__(cls, *arguments)


def _same(thing: Any) -> Any:
    return thing


def _arguments_of(count: itertools.count[int]) -> list[int]:
    """Return the arguments for a new `itertools.count` in the same state: next value, and the step unless it is 1.

    They are parsed from the counter's `repr`, because reading a value would advance the counter, and Python 3.14
    removes `count.__reduce__`.
    """
    return [int(number) for number in repr(count).removeprefix("count(").removesuffix(")").split(",")]


def _refuse(thing: Any) -> Any:
    raise _uncopyable(thing)


def _uncopyable(thing: Any) -> Unavailable:
    kind = type(thing)
    name = getattr(thing, "__qualname__", "")
    return Unavailable(
        f"the lab holds something that cannot be copied: {kind.__module__}.{kind.__qualname__} {name}".rstrip()
    )


def _is_frozen(cls: type) -> bool:
    # attrs marks its frozen classes by their __setattr__.
    return getattr(cls.__setattr__, "__name__", "") == "_frozen_setattrs"


def _holds_only_slots(cls: type) -> bool:
    """Return True if instances of a class store nothing but their slots, `__dict__` and `__weakref__`.

    This is so for classes that a class statement creates. An instance of a C type such as `io.TextIOWrapper` has
    internal data too, which a copy would lack.
    """
    pointers = (cls.__basicsize__ - object.__basicsize__) // tuple.__itemsize__
    return pointers <= len(_slots(cls)) + 2


def _slots(cls: type) -> list[Any]:
    """Return the descriptors of all slots of a class; the slots of its base classes come first."""
    return [
        member
        for base in reversed(cls.__mro__)
        for member in vars(base).values()
        if isinstance(member, types.MemberDescriptorType)
        and member.__objclass__ is base
        and member.__name__ != "__weakref__"
        and hasattr(base, "__slots__")
        and base.__module__ != "builtins"
    ]
