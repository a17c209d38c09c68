"""Which presentation contexts are accepted: every storage SOP class, known or not, in every known transfer syntax.

A list of all of them would have to be walked or copied for every association; here the answer is worked out for what is proposed.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
PUBLIC: Final = "1.2.840.10008."
STORAGE_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
DIRECTORY: Final = "1.2.840.10008.1.3.10"  # DICOMDIR is for media only (PS3.4 I.4)
_NO_DATA_SET: Final = frozenset(("1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"))  # MIME and XML
TRANSFER_SYNTAXES: Final = frozenset(
    [*AllTransferSyntaxes, *(uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax")]
).difference(_NO_DATA_SET)


@lru_cache(maxsize=4096)
def is_storage(abstract_syntax: str) -> bool:
    """Whether objects of this class may be sent here: storage classes of any edition of the Standard, and private classes."""
    service = uid_to_service_class(abstract_syntax)
    if issubclass(service, StorageServiceClass):
        return True
    if service is not ServiceClass or abstract_syntax == DIRECTORY:
        return False
    if not abstract_syntax.startswith(PUBLIC) or abstract_syntax.startswith(STORAGE_ROOT):
        return True
    name = UID(abstract_syntax).name
    return "Storage" in name and "Commitment" not in name


def supported(proposed: Iterable[PresentationContext], also: frozenset[str] = frozenset()) -> list[PresentationContext]:
    """What we support of ``proposed``: the known transfer syntaxes, in the order of the requestor's preference.

    ``also`` are SOP classes of other services that are taken. Private transfer syntaxes are left out: the sender then falls
    back to one that can also be decoded.
    """
    return _supported(tuple((one.abstract_syntax, tuple(one.transfer_syntax)) for one in proposed), also)


@lru_cache(maxsize=64)  # a device proposes the same each time; pynetdicom only reads the contexts it negotiates with
def _supported(proposed: tuple[tuple[UID | None, tuple[UID, ...]], ...], also: frozenset[str]) -> list[PresentationContext]:
    syntaxes: dict[UID, dict[UID, None]] = {}
    for wanted, transfer_syntaxes in proposed:
        if wanted and (wanted == VERIFICATION or wanted in also or is_storage(wanted)):
            known = (uid for uid in transfer_syntaxes if uid in TRANSFER_SYNTAXES)
            syntaxes.setdefault(wanted, {}).update(dict.fromkeys(known))
    return [_context(abstract, list(transfer)) for abstract, transfer in syntaxes.items()]


def _context(abstract_syntax: UID, transfer_syntaxes: list[UID]) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = [*transfer_syntaxes] or [UID("1.2.840.10008.1.2")]
    if abstract_syntax == COMMITMENT:  # archives bring their reports on associations of their own, in the role of the provider
        context.scu_role = context.scp_role = True
    return context
