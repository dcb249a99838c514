"""Signatures of the house: one key makes them, the other only tells whether it did."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.store.pem import key_in, pem_of
from proxy.store.seal import PublicKey, Seal

SEAL = Seal(b"k" * 32)
DATA = b"what was signed"
SIGNED = SEAL.sign(DATA)

RFC_8032 = (
    # The third case of 7.1: secret, public key, message, signature.
    bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    bytes.fromhex("af82"),
    (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ),
)


def test_keys_and_signatures_are_those_of_rfc_8032():
    secret, public, message, signature = RFC_8032
    seal = Seal(secret)
    assert (seal.public_key.hex, seal.sign(message)) == (public, signature)
    assert key_in(public).signed(message, signature)


def test_a_key_is_named_by_the_beginning_of_its_digest():
    """Golden: a change here makes strangers of all heads there are."""
    assert SEAL.public_key.hex == "8320a51977d8c38ca8a4927c670df5821e449761945e15e9efb26a1509d230ea"
    assert SEAL.public_key.key_id == "cd8fa86afd6bf20d"


def test_no_bit_of_a_signature_may_be_another():
    bent = [f"{int(SIGNED, 16) ^ 1 << bit:0128x}" for bit in range(512)]
    assert [each for each in bent if SEAL.public_key.signed(DATA, each)] == []


@pytest.mark.parametrize(
    "signature",
    [None, "", SIGNED[:-2], SIGNED + "00", SIGNED.upper(), f" {SIGNED}", f"{SIGNED}\n", "é" * 128, "0" * 128],
    ids=["none", "empty", "short", "long", "capitals", "blank", "line feed", "letters", "zeros"],
)
def test_a_signature_has_one_text_and_anything_else_is_none(signature):
    assert SEAL.public_key.signed(DATA, SIGNED)
    assert not SEAL.public_key.signed(DATA, signature)


def test_a_signature_cannot_be_turned_into_another_of_the_same_bytes():
    """Adding the group's order to its second half would be one, were it not refused (RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    raw = bytes.fromhex(SIGNED)
    twin = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert not SEAL.public_key.signed(DATA, twin.hex())


def test_neither_other_bytes_nor_another_key_fit_a_signature():
    assert not SEAL.public_key.signed(DATA + b" ", SIGNED)
    assert not Seal(b"o" * 32).public_key.signed(DATA, SIGNED)
    assert not PublicKey(b"\xff" * 32).signed(DATA, SIGNED)


def test_a_public_key_survives_every_way_in_which_it_is_handed_on():
    key = SEAL.public_key
    for told in (
        key.hex,
        key.hex.upper(),
        f"{key.hex}\n",
        f" {key.hex}\r\n",
        pem_of(key),
        f"\n{pem_of(key)}\n",
    ):
        assert key_in(told) == key


def test_a_private_key_is_not_taken_for_a_public_one_and_not_repeated():
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="holds no public key") as caught:
        key_in(pem)
    assert "a2tr" in pem
    assert "a2tr" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_secret_of_another_length_is_no_key(length):
    with pytest.raises(ValueError, match="32 bytes"):
        Seal(bytes(length))
    with pytest.raises(ValueError, match="a public key has 32 bytes"):
        PublicKey(bytes(length))


def test_what_checks_holds_nothing_to_sign_with():
    assert not hasattr(SEAL.public_key, "sign")
    assert "6b" * 32 not in repr((SEAL, vars(SEAL), SEAL.public_key))
