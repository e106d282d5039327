"""Qualcomm's chips and the version of their Hexagon tensor processor (HTP).

The version is in the names of the libraries that a program needs, and a program compiled for one
does not run on another. Names and versions are those of ExecuTorch's QNN backend.
"""

from __future__ import annotations

HEXAGON_VERSIONS: dict[str, int] = {
    "SM8350": 68,
    "SM8450": 69,
    "SM8475": 69,
    "SM8550": 73,
    "SM8650": 75,
    "SM8750": 79,
    "SM8845": 81,
    "SM8850": 81,
    "QCM6490": 68,
    "QCS9100": 73,
    "SA8255": 73,
    "SA8295": 68,
    "SA8797": 81,
    "SAR2230P": 81,
    "SSG2115P": 73,
    "SSG2125P": 73,
    "SW6100": 81,
    "SXR1230P": 73,
    "SXR2230P": 69,
    "SXR2330P": 79,
}
