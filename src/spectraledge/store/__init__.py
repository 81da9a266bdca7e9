"""Store: one folder a run, named by what was asked for, written so that no half is ever read.

`RunFolder` is one run on disk, `Catalogue` all runs under a root, `claim` the lock that keeps two
processes from training the same run, and `signature` the identity of a spec.
"""

from spectraledge.store.atomic import replace_bytes
from spectraledge.store.catalogue import Catalogue
from spectraledge.store.damage import DamagedError
from spectraledge.store.inspection import Status
from spectraledge.store.lock import ClaimedError, claim
from spectraledge.store.origin import Origin
from spectraledge.store.run_folder import RunFolder
from spectraledge.store.signature import (
    canonical_json,
    folder_name,
    from_canonical,
    signature,
    slug,
)
from spectraledge.store.uninterrupted import uninterrupted

__all__ = [
    "Catalogue",
    "ClaimedError",
    "DamagedError",
    "Origin",
    "RunFolder",
    "Status",
    "canonical_json",
    "claim",
    "folder_name",
    "from_canonical",
    "replace_bytes",
    "signature",
    "slug",
    "uninterrupted",
]
