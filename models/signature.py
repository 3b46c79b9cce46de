"""A signature over files: whoever holds the private key vouches for their digests, and the public key can tell.

The format is that of OpenSSF model signing: a Sigstore bundle, in it a DSSE envelope around an in-toto statement.
`model_signing verify key` checks the same by hand. Here a signature is read as bytes and gives digests, so that
whoever parses a file compares the very bytes, and nothing heavier than `cryptography` stands before them.
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from models.fault import Fault
from models.files import parse_json

PAYLOAD = b"application/vnd.in-toto+json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"


class SignatureError(Fault):
    """Something is not as it was signed, or not signed by the key; the text says what."""


def vouched(signature: bytes, key: bytes) -> dict[str, str]:
    """Name -> SHA-256 of every file that the signature vouches for.

    Args:
        signature: as OpenSSF model signing writes it with an EC key.
        key: the public key, on the curve P-256, PEM.

    Raises:
        SignatureError: when the signature is not by that key, or one of the two can't be read.
    """
    public = _public(key)
    try:
        envelope = parse_json(signature)["dsseEnvelope"]
        (mark,) = envelope["signatures"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        public.verify(base64.b64decode(mark["sig"], validate=True), _authenticated(payload), ec.ECDSA(SHA256()))
        return _files(parse_json(payload))
    except InvalidSignature:
        raise SignatureError("the signature is by another key, or what it vouches for was altered") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureError(f"the signature can't be read: {error!r}") from None


def _public(key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        public = load_pem_public_key(key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"the public key can't be read: {error}") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise SignatureError("the public key is not an EC key on the curve P-256")
    return public


def _authenticated(payload: bytes) -> bytes:
    """DSSE's encoding of what is signed: the payload together with its type."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD, len(payload), payload)


def _files(statement: Any) -> dict[str, str]:
    predicate = statement["predicate"]
    kinds = (statement["_type"], statement["predicateType"], predicate["serialization"]["method"])
    if kinds != (STATEMENT, PREDICATE, "files"):
        raise ValueError(f"it is a statement of another kind: {kinds}")
    resources = predicate["resources"]
    if any(one["algorithm"] != "sha256" for one in resources):
        raise ValueError("it holds digests that are not SHA-256")
    return {str(one["name"]): str(one["digest"]) for one in resources}
