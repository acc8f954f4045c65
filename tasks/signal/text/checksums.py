"""Card and account numbers in texts whose check digits are right (Luhn, ISO/IEC 7812-1; mod 97, ISO 13616)."""

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.signal.text.characters import Bytes

SPACE, HYPHEN, POINT = 0x20, 0x2D, 0x2E
FEWEST_DIGITS, MOST_DIGITS, LONGEST_IBAN = 13, 19, 34
_LENGTHS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27
MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23
TN24 TR26 UA29 VA22 VG24 XK20
"""


def _lengths() -> Int64Array:
    """Return the length of an IBAN of each country, (26 * 26,) by its two letters, 0 where there are none."""
    found = np.zeros(26 * 26, np.int64)
    for entry in _LENGTHS.split():
        found[(ord(entry[0]) - 65) * 26 + ord(entry[1]) - 65] = int(entry[2:])
    return found


IBAN_LENGTHS = _lengths()


@compiled
def count_cards(data: Bytes, offsets: Int64Array, rows: Int64Array, counts: Int64Array) -> None:
    """Add to counts, (n,), how many numbers of payment cards some texts have.

    A number has the beginning and the length of a known issuer, passes Luhn, and is written without gaps, in fours, or
    as 4-6-5, with one blank or hyphen between; no letter or digit touches it, and no point stands before it.
    """
    digits = np.empty(MOST_DIGITS, np.int64)
    for text in rows:
        at, end = offsets[text], offsets[text + 1]
        before = False  # whether the byte before is a letter or digit
        while at < end:
            if before or not 0x32 <= data[at] <= 0x36:
                before = _is_word(data[at]) or data[at] == POINT
                at += 1
                continue
            stop = _card_at(data, at, end, digits)
            counts[text] += stop > at
            before = True
            at = max(stop, at + 1)


@compiled
def count_ibans(data: Bytes, offsets: Int64Array, rows: Int64Array, counts: Int64Array) -> None:
    """Add to counts, (n,), how many account numbers (IBAN) some texts have: length by country, mod 97 = 1.

    Letters are capitals; single blanks may stand between; no letter or digit touches it.
    """
    signs = np.empty(LONGEST_IBAN, np.int64)
    for text in rows:
        at, end = offsets[text], offsets[text + 1]
        before = False
        while at < end:
            if before or not 0x41 <= data[at] <= 0x5A:
                before = _is_word(data[at])
                at += 1
                continue
            stop = _iban_at(data, at, end, signs)
            counts[text] += stop > at
            before = True
            at = max(stop, at + 1)


@compiled
def _card_at(data: Bytes, at: int, end: int, digits: Int64Array) -> int:
    """Return where the card number at `at` ends, `at` if there is none."""
    start, found, used, group, groups, separator = at, at, 0, 0, 0, 0
    first_group, second_group, in_fours = 0, 0, True
    while at < end and used < MOST_DIGITS and _is_digit(data[at]):
        digits[used] = data[at] - 0x30
        used, group, at = used + 1, group + 1, at + 1
        if at < end and _is_digit(data[at]):
            continue
        groups += 1
        first_group = group if groups == 1 else first_group
        second_group = group if groups == 2 else second_group
        shape = groups == 1 or (in_fours and group <= 4)
        shape = shape or (groups == 3 and first_group == 4 and second_group == 6 and group == 5)
        ends = at == end or not _is_word(data[at])
        if used >= FEWEST_DIGITS and shape and ends and _issued(digits, used) and _luhn(digits, used):
            found = at
        in_fours = in_fours and group == 4
        if not ends or at + 1 >= end or not (data[at] == SPACE or data[at] == HYPHEN):
            break
        sign = data[at] & 0x7FFF  # a signed number
        if separator not in (0, sign):
            break
        separator, group, at = sign, 0, at + 1
    return found if found > start else start


@compiled
def _issued(digits: Int64Array, used: int) -> bool:
    """Return whether an issuer of cards has numbers of this beginning and length."""
    four = 1000 * digits[0] + 100 * digits[1] + 10 * digits[2] + digits[3]
    if 4000 <= four < 5000:  # Visa
        return bool(used == 13 or used == 16 or used == 19)
    if 5100 <= four < 5600 or 2221 <= four <= 2720:  # Mastercard
        return bool(used == 16)
    if 3400 <= four < 3500 or 3700 <= four < 3800:  # American Express
        return bool(used == 15)
    if 3000 <= four < 3060 or 3600 <= four < 3700 or 3800 <= four < 4000:  # Diners Club
        return bool(used == 14)
    others = 3528 <= four < 3590 or four == 6011 or 6440 <= four < 6600 or 6200 <= four < 6300
    return bool(others and used >= 16)  # JCB, Discover, UnionPay


@compiled
def _luhn(digits: Int64Array, used: int) -> bool:
    total = 0
    for place in range(used):
        digit = digits[used - 1 - place]
        if place % 2:
            digit = 2 * digit - 9 if digit > 4 else 2 * digit
        total += digit
    return bool(total % 10 == 0)


@compiled
def _iban_at(data: Bytes, start: int, end: int, signs: Int64Array) -> int:
    """Return where the IBAN at `start` ends, `start` if there is none."""
    if start + 4 > end or not 0x41 <= data[start + 1] <= 0x5A:
        return start
    length = IBAN_LENGTHS[(data[start] - 0x41) * 26 + data[start + 1] - 0x41]
    used, at = 0, start
    while at < end and used < length:
        byte = data[at]
        if _is_digit(byte):
            signs[used] = byte - 0x30
        elif 0x41 <= byte <= 0x5A and not 2 <= used < 4:
            signs[used] = byte - 0x37
        elif byte == SPACE and used > 3 and data[at - 1] != SPACE:
            at += 1
            continue
        else:
            return start
        used, at = used + 1, at + 1
    if length == 0 or used < length or (at < end and _is_word(data[at])):
        return start
    rest = 0
    for place in range(length):
        sign = signs[(place + 4) % length]
        rest = (rest * (100 if sign > 9 else 10) + sign) % 97
    return at if rest == 1 else start


@compiled
def _is_digit(byte: int) -> bool:
    return 0x30 <= byte <= 0x39


@compiled
def _is_word(byte: int) -> bool:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A or byte == 0x5F or byte >= 0x80
