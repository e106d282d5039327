"""Replicas that clients of one process share.

Thousands of clients hold a few distinct versions between them. Clients that started from the
same state and applied the same updates hold the same object, and the updates were applied once.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from weakref import WeakValueDictionary

from exporters.lora.support import ParameterLayout
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.update import ReplicaState, RoundUpdate

# States beyond those that clients hold, for clients that follow the same path later.
_KEPT_BYTES = 128 << 20
# Updates whose digests are remembered by object; those of other processes are hashed each time.
_REMEMBERED_UPDATES = 256


class Replica:
    """A state that clients share; its arrays must not be written to.

    `sha256` is that of the values alone, as orders carry it.
    """

    def __init__(self, state: ReplicaState) -> None:
        self.state = state
        self.sha256 = values_sha256(state.values)
        self.following: WeakValueDictionary[bytes, Replica] = WeakValueDictionary()

    @property
    def bytes(self) -> int:
        memory = self.state.memory
        return self.state.values.nbytes + (0 if memory is None else memory.nbytes)


class ReplicaShelf:
    """Finds the replica with a given content, and the one that updates lead to."""

    def __init__(self, layout: ParameterLayout) -> None:
        self._layout = layout
        self._by_content: WeakValueDictionary[tuple[str, str], Replica] = WeakValueDictionary()
        self._recent: OrderedDict[int, Replica] = OrderedDict()
        self._recent_bytes = 0
        self._digests: OrderedDict[int, tuple[RoundUpdate, bytes]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many distinct states are in memory."""
        return len(self._by_content)

    def hold(self, state: ReplicaState) -> Replica:
        """The replica of this content, shared with whoever holds the same."""
        with self._lock:
            return self._hold(state)

    def after(self, replica: Replica, updates: Iterable[RoundUpdate]) -> Replica:
        """The replica that these updates lead to from `replica`, applied in order."""
        with self._lock:
            for update in updates:
                digest = self._digest(update)
                known = replica.following.get(digest)
                if known is None:
                    known = self._hold(replica.state.after(update, self._layout))
                    replica.following[digest] = known
                replica = known
            return replica

    def _hold(self, state: ReplicaState) -> Replica:
        made = Replica(state)
        memory = "" if state.memory is None else values_sha256(state.memory)
        key = (made.sha256, memory)
        replica = self._by_content.get(key)
        if replica is None:
            replica = self._by_content[key] = made
            self._keep(replica)
        return replica

    def _keep(self, replica: Replica) -> None:
        self._recent[id(replica)] = replica
        self._recent_bytes += replica.bytes
        while self._recent_bytes > _KEPT_BYTES and len(self._recent) > 1:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= oldest.bytes

    def _digest(self, update: RoundUpdate) -> bytes:
        """Of all that the update says; equal updates may differ in it, others never agree."""
        known = self._digests.get(id(update))
        if known is not None:
            return known[1]
        digest = hashlib.sha256(pickle.dumps(update)).digest()
        # Holding the update keeps its id from being given to another.
        self._digests[id(update)] = (update, digest)
        if len(self._digests) > _REMEMBERED_UPDATES:
            self._digests.popitem(last=False)
        return digest
