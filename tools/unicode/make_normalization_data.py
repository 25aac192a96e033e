#!/usr/bin/env python3
"""Writes the tables of Unicode normalization that Hydragen.Text embeds.

    python3 make_normalization_data.py > ../../src/Hydragen.Text/Normalizers/NormalizationData.txt

Needs only Python 3.11 (Unicode 14). Characters added after Unicode 9 are left out, because the normalizer that
tokenizer files are written for does not know them. Hangul syllables are not listed: they follow from arithmetic.
"""

import unicodedata

AFTER_9 = [
    (0x7FD, 0x7FD), (0x898, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C), (0xEBA, 0xEBA),
    (0x1715, 0x1715), (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA), (0x32FF, 0x32FF), (0xA7F2, 0xA7F4), (0xA82C, 0xA82C),
    (0xAB69, 0xAB69), (0x10781, 0x10785), (0x10787, 0x107B0), (0x107B2, 0x107BA), (0x10D24, 0x10D27), (0x10EAB, 0x10EAC),
    (0x10F46, 0x10F50), (0x10F82, 0x10F85), (0x11070, 0x11070), (0x1133B, 0x1133B), (0x1145E, 0x1145E), (0x11839, 0x1183A),
    (0x11938, 0x11938), (0x1193D, 0x1193E), (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47),
    (0x11A99, 0x11A99), (0x11D42, 0x11D42), (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x16FF0, 0x16FF1), (0x1E130, 0x1E136),
    (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF), (0x1F16C, 0x1F16C), (0x1FBF0, 0x1FBF9)]


def code_points():
    for value in range(0x110000):
        is_late = any(first <= value <= last for first, last in AFTER_9)
        if not 0xD800 <= value < 0xE000 and not 0xAC00 <= value < 0xD7A4 and not is_late:
            yield value


def combining_classes():
    start = previous = None
    for value in [*code_points(), 0x110000]:
        current = unicodedata.combining(chr(value)) if value < 0x110000 else 0
        if start is not None and (value != previous + 1 or current != unicodedata.combining(chr(start))):
            yield start, previous, unicodedata.combining(chr(start))
            start = None
        if current and start is None:
            start = value
        previous = value


def main():
    print("# Unicode normalization tables, written by tools/unicode/make_normalization_data.py.")
    print("# C first last class: combining class. P: canonical decomposition that composes again. D: one that does not.")
    print("# K: compatibility decomposition. Decompositions are one step deep.")
    for first, last, value in combining_classes():
        print(f"C {first:X} {last:X} {value}")
    for value in code_points():
        decomposition = unicodedata.decomposition(chr(value)).split()
        if not decomposition:
            continue
        if decomposition[0].startswith("<"):
            print(f"K {value:X} {' '.join(part.lstrip('0') for part in decomposition[1:])}")
            continue
        parts = "".join(chr(int(part, 16)) for part in decomposition)
        kind = "P" if len(parts) == 2 and unicodedata.normalize("NFC", parts) == chr(value) else "D"
        print(f"{kind} {value:X} {' '.join(part.lstrip('0') for part in decomposition)}")


if __name__ == "__main__":
    main()
