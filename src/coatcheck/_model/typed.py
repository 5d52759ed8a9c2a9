"""
Sessions whose values a model describes: read through it, checked by it, kept as plain values.

    coatcheck.session(cookie, storage, data=Visit)

The model's fields are keys of the session, so what one request changes in `session.data` merges
with what others change, field by field. The object is made when a handler first asks for it; before
a save its fields are compared with what they were, and those that differ are written. What does not
fit the model stands at its default, and stays stored until something else is put in its place.

An older record is upgraded in memory when it is read, and stored so at its next save.

Pure: no clock, no storage.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from coatcheck._model.models import Built
from coatcheck._model.schema import MARK, Schema, Unmark, Upgrade, version_of
from coatcheck._session.changes import (
    Append,
    Apply,
    Change,
    Clear,
    Replace,
    Set,
    SetDefault,
    Unset,
    Update,
    change_in_place,
    empty_like,
)
from coatcheck._session.draft import Draft
from coatcheck._session.record import Contents
from coatcheck._session.values import Encoded, encode
from coatcheck.errors import UnstorableValue

OnAKey = Set | SetDefault | Unset | Apply | Append | Update | Replace


class TypedDraft(Draft, kw_only=True):
    """
    The draft of a session that a model describes.

    Args:
        built: The object that handlers see; None until one asks for it.
        noted: What its fields held when they were last compared.
    """

    schema: Schema[Any]
    built: Any = None
    noted: dict[str, Encoded] = msgspec.field(default_factory=dict)

    @classmethod
    def under(cls, draft: Draft, schema: Schema[Any]) -> "TypedDraft":
        """Return *draft* under a schema, its contents brought to that version."""
        typed = cls(*msgspec.structs.astuple(draft), schema=schema)
        if draft.contents.values and version_of(draft.contents) < schema.version:
            typed.contents = draft.contents.copy()
            schema.bring(typed.contents)
        return typed

    def watches(self) -> bool:
        return self.built is not None or bool(self.live)

    @property
    def held(self) -> Contents:
        self.note_data()
        return self.contents

    def data(self) -> Any:
        if self.live:
            self.note_changes_in_place()
        if self.built is None:
            built = self.schema.build(self.contents)
            self.schema.warn(built)
            self.built, self.noted = built.data, self._encoded(built.data)
            self.touched = True
        return self.built

    def replace_data(self, data: Any, /) -> None:
        before = self.data()
        self.built = data
        try:
            self.note_data()
        except BaseException:
            self.built = before
            raise

    def value(self, key: str) -> Any:
        self.note_data()
        return Draft.value(self, key)

    def put(self, key: str, value: Any, encoded: Encoded) -> None:
        self.note_data()
        Draft.put(self, key, value, encoded)

    def write(self, change: Change) -> None:
        """
        Make one change.

        Raises:
            UnstorableValue: What it puts under a field does not fit that.
            SessionDestroyed, ResponseStarted: See `check`.
        """
        if isinstance(change, OnAKey) and change.key in self.schema.model.fields:
            self._write_field(change)
        else:
            self._write(change)
            if isinstance(change, Clear):
                self.built = None

    def end(self) -> None:
        Draft.end(self)
        self.built = None

    def forget(self) -> None:
        Draft.forget(self)
        self.built = None

    def note_changes_in_place(self) -> None:
        self.note_data()
        Draft.note_changes_in_place(self)

    def note_data(self) -> None:
        """
        Write down which fields of the object have changed.

        Raises:
            UnstorableValue: One of them does not fit; nothing is written.
        """
        if self.built is None:
            return
        encoded = self._encoded(self.built)
        changed = {key for key, value in encoded.items() if self.noted.get(key) != value}
        gone = self.noted.keys() - encoded.keys()
        if changed or gone:
            kept = self._checked(changed)
            for key in sorted(changed):
                self._write_changed(key, kept[key])
                self.live.pop(key, None)
            for key in sorted(gone):
                self._write(Unset(key))
                self.live.pop(key, None)
            self.noted = encoded

    def _write_changed(self, key: str, value: Encoded) -> None:
        """
        Write down how a field of the object changed.

        A list or dict that only grew is merged with what other requests added, also one that was
        not stored yet, because it stood at its default or was absent from a TypedDict.
        """
        held, before = self.contents.values.get(key), self.noted.get(key)
        if held == value:
            return
        if held is None and before is None:
            before = empty_like(value)  # of a key that a TypedDict did not have
        for step in _steps(key, held, before, value):
            self._write(step)

    def _checked(self, changed: set[str]) -> dict[str, Encoded]:
        """Return what the object's fields are kept as, the changed ones checked."""
        model = self.schema.model
        built = model.build(model.dump(self.built))
        for key in sorted(changed & built.misfits.keys()):
            raise _unfit(self.schema, key, built)
        if built.whole:
            raise UnstorableValue(model.name, "its fields do not fit together", takes="")
        return self._encoded(built.data)

    def _encoded(self, data: Any) -> dict[str, Encoded]:
        return {key: encode(key, value) for key, value in self.schema.model.dump(data).items()}

    def _write_field(self, change: OnAKey) -> None:
        """Write under a field, and let the object follow; what does not fit is taken back."""
        log, values = [*self.log], self.contents.values.copy()
        self._write(change)
        built = self.schema.build(self.contents)
        if change.key in built.misfits:
            self.log, self.contents.values = log, values
            raise _unfit(self.schema, change.key, built)
        if self.built is not None:
            self._follow(change.key, built.data)
            self.noted = self._encoded(self.built)

    def _follow(self, key: str, newer: Any) -> None:
        if isinstance(newer, dict):
            self.built.pop(key, None)
            self.built.update({name: value for name, value in newer.items() if name == key})
            return
        try:
            setattr(self.built, key, getattr(newer, key))
        except Exception:  # a frozen object, which can hold no change of its own either
            self.built = newer

    def _write(self, change: Change) -> None:
        """Write after an upgrade: wherever this is replayed, it finds and leaves our version."""
        self.check(change.name)
        versioned = self.schema.version > 1
        if versioned and (not self.log or MARK not in self.contents.values):
            Draft.write(self, Upgrade(self.schema))
        Draft.write(self, change)
        if versioned and self.contents.values.keys() == {MARK}:
            Draft.write(self, Unmark())


def _steps(
    key: str, held: Encoded | None, before: Encoded | None, value: Encoded
) -> Iterator[Change]:
    """
    Yield the steps by which a field came to its value.

    Args:
        held: What is stored.
        before: What the object held; None: nothing that could have grown.
    """
    if before is None or held not in (None, before):
        yield Set(key, value)
        return
    grown = change_in_place(key, before, value)
    if isinstance(grown, Replace) and value != before:
        yield Set(key, value)
        return
    if held is None:
        yield SetDefault(key, before)
    if value != before:
        yield grown


def _unfit(schema: Schema[Any], key: str, built: Built) -> UnstorableValue:
    reason = f"it does not fit {schema.model.name}.{key}: {built.misfits[key]}"
    return UnstorableValue(key, reason, takes="")
