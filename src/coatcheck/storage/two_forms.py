"""The plain and the awaited form of one storage of records."""

from coatcheck._session.plan import Keyspace
from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage


class TwoForms:
    """
    One storage, whichever of its forms carries out a plan.

    Args:
        storage: Either form; the other is found or made, if there can be one.
    """

    def __init__(self, storage: KeyedStorage | AsyncKeyedStorage) -> None:
        self.storage = storage
        self.plain = storage if isinstance(storage, KeyedStorage) else None
        self._awaited = storage if isinstance(storage, AsyncKeyedStorage) else storage.aio

    @property
    def space(self) -> Keyspace:
        """The keys of the storage."""
        return self.storage.space

    @property
    def records(self) -> KeyedStorage:
        """
        The plain form.

        Raises:
            ConfigurationError: There is none.
        """
        if self.plain is None:
            raise ConfigurationError(
                f"{type(self.storage).__name__} has only methods that are awaited, and a plain "
                "application cannot use it: use the plain form of its client"
            )
        return self.plain

    @property
    def async_records(self) -> AsyncKeyedStorage:
        """The awaited form; one that never waits, if the plain form never does."""
        if self._awaited is None:
            plain = self.records
            backend = InlineBackend(plain.backend, plain.backend)
            self._awaited = AsyncKeyedStorage(
                backend,
                prefix=plain.prefix,
                clock=plain.clock,
                may_evict=plain.powers.may_evict,
            )
            self._awaited.space = plain.space
        return self._awaited

    def fits(self, other: "TwoForms") -> bool:
        """Tell whether the other storage can be asked wherever this one is."""
        return other.plain is not None or self._awaited is not None
