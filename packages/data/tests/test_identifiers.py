import pytest
from octad_data.identifiers import (
    is_card,
    is_chinese_resident,
    is_cpf,
    is_french_social_security,
    is_iban,
    is_us_social_security,
    luhn,
)


@pytest.mark.parametrize(
    "iban",
    ["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947",
     "MT84MALT011000012345MTLCAST001S", "BE68539007547034"],
)  # fmt: skip
def test_ibans_of_the_registry_hold_and_no_digit_can_change(iban: str) -> None:
    assert is_iban(iban)
    for i in range(4, len(iban)):
        if iban[i].isdigit():
            assert not is_iban(iban[:i] + str((int(iban[i]) + 1) % 10) + iban[i + 1 :])
    assert not is_iban(iban[:-1]) and not is_iban("ZZ" + iban[2:]) and not is_iban(iban.lower())


@pytest.mark.parametrize(
    "card",
    ["4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
     "3530111333300000", "30569309025904", "6200000000000005"],
)  # fmt: skip
def test_published_test_cards_hold_and_no_digit_can_change(card: str) -> None:
    assert is_card(card)
    for i in range(len(card)):
        assert not luhn(card[:i] + str((int(card[i]) + 1) % 10) + card[i + 1 :])
    assert not is_card(card + "0")


def test_cards_without_issuer_or_of_one_digit_are_none() -> None:
    assert luhn("0000000000000000") and not is_card("0000000000000000")
    assert luhn("1234567812345670") and not is_card("1234567812345670")


def test_national_numbers() -> None:
    assert is_us_social_security("536904399")
    for wrong in ("000904399", "666904399", "900904399", "536004399", "536900000", "078051120", "111111111"):
        assert not is_us_social_security(wrong)
    assert is_cpf("52998224725") and not is_cpf("52998224726") and not is_cpf("11111111111")
    assert is_chinese_resident("11010519491231002X") and is_chinese_resident("11010519491231002x")
    assert not is_chinese_resident("110105194912310021") and not is_chinese_resident("11010519491331002X")
    assert is_french_social_security("255081416802538") and not is_french_social_security("255081416802539")
