"""Lists and dictionaries with spaces in them: ``List``, ``Dict``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bigdl.nano.automl.hpo.basis import NestedSpace, text_of
from bigdl.nano.automl.hpo.lazy import Build, Place


class Items(NestedSpace):
    """A space over several things in a row, which are named by their index."""

    def __init__(self, data: Iterable[Any], prefix: str | None) -> None:
        super().__init__(prefix)
        self.data = list(data)

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The items."""
        here = place.under(self.prefix)
        return ((item, here.at(index)) for index, item in enumerate(self.data))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)


class List(Items):
    """A list, some items of which are spaces."""

    def __init__(self, *data: Any, prefix: str | None = None) -> None:
        super().__init__(data, prefix)

    def resolve(self, build: Build, place: Place) -> list[Any]:
        """The list with everything in it made real."""
        return [build.resolve(item, its) for item, its in self.parts(place)]

    def __repr__(self) -> str:
        return f"List({', '.join(map(text_of, self.data))})"


class Dict(NestedSpace):
    """A dictionary, some items of which are spaces; they are named by their keys."""

    def __init__(self, *, prefix: str | None = None, **data: Any) -> None:
        super().__init__(prefix)
        self.data = data

    def resolve(self, build: Build, place: Place) -> dict[str, Any]:
        """The dictionary with everything in it made real."""
        here = place.under(self.prefix)
        return {key: build.resolve(item, here.at(key)) for key, item in self.data.items()}

    def parts(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """The items."""
        here = place.under(self.prefix)
        return ((item, here.at(key)) for key, item in self.data.items())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __repr__(self) -> str:
        return f"Dict({', '.join(f'{key}={text_of(item)}' for key, item in self.data.items())})"
