"""Published distances on adult faces, and the same distances on our template.

Means and standard deviations by population and sex. Sources, by the letters of `MEASURES`;
`docs/data.md` says how each was read, and what is assumed:

  N  NIOSH's head-and-face survey of U.S. respirator users, 2003: 3,997 adults, callipers; its
     groups White, Other (most of them Asian American) and Black [Zhuang and Bradtmiller 2005].
  U  ANSUR II, U.S. Army, 2012: 6,068 soldiers, callipers [Gordon et al. 2014].
  C  Chinese workers, 2006: 3,000 adults, callipers [Du et al. 2008].
  F  North American Whites, African Americans and East Asians, callipers [Farkas et al. 2005, 2007].
  K  Kenyan students, callipers [Virdi et al. 2019].
  H  Chinese of Hong Kong, stereophotogrammetry [Jayaratne et al. 2013].
  D  3D Facial Norms, Americans of European descent, photogrammetry [Kesterke et al. 2016].
  S  South Koreans, photogrammetry [Kim et al. 2007].
  P  meta-analysis of photogrammetry of profiles [Wen et al. 2015].
  A  assumed, from the others.

Correlations and the change with age come from `assets/niosh_2003.csv`: the first 139 White subjects
of N's public table, which is in the public domain.
"""

import dataclasses
import functools
import pathlib

import numpy as np

POPULATIONS = ("caucasian", "asian", "african")
SEXES = ("female", "male")
_SUBJECTS = pathlib.Path(__file__).parent / "assets" / "niosh_2003.csv"

# Rows of the coarse head (skin, eyes, teeth, tongue) by Farkas' letters, right and left; a place
# may lie midway between two rows. Sellion se is the deepest place of the nose's bridge, menton me
# the lowest of the chin, a pupil pu the middle of an eyeball.
PLACES = {
    "eu": ([1655], [3643]), "g": ([227],), "op": ([857],), "zy": ([772], [2789]),
    "go": ([795], [2809]), "se": ([132],), "sn": ([343],), "prn": ([1347],),
    "al": ([1344], [3348]), "ch": ([425], [2486]), "pu": ([4145, 4172], [4073, 4100]),
    "en": ([66], [2151]), "ex": ([21], [2106]), "ls": ([466],), "sto": ([474, 493],),
    "li": ([492],), "pog": ([1455],), "me": ([732],),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Measure:
    """A straight distance between two places, mm, or an angle at the middle one of three, degrees.

    Attributes:
      name: of the measure; a column of `assets/niosh_2003.csv` where that has it.
      symbol: the places.
      sources: a letter for the means of each of `POPULATIONS`.
      means, deviations: female and male of each of `POPULATIONS`.
      follows: for one that the survey lacks, another that it is correlated with, and how much;
        assumed. Without it it goes its own way.
      drawn: people are drawn with it; else only the means have it, and people what results.
    """

    name: str
    symbol: str
    sources: str
    means: tuple[tuple[float, float], ...]
    deviations: tuple[tuple[float, float], ...]
    follows: tuple[str, float] | None = None
    drawn: bool = True


MEASURES = (
    Measure("head_breadth", "eu-eu", "UUU",
            ((147.1, 154.0), (151.9, 158.2), (148.0, 154.6)),
            ((4.7, 5.3), (5.3, 6.7), (5.4, 5.8))),
    Measure("head_length", "g-op", "UUU",
            ((189.1, 199.8), (177.6, 186.5), (193.4, 201.5)),
            ((7.5, 7.0), (7.5, 7.0), (7.5, 7.0))),
    Measure("face_breadth", "zy-zy", "NCN",
            ((133.8, 142.9), (140.1, 147.6), (137.5, 144.6)),
            ((6.2, 6.7), (6.4, 7.1), (6.2, 6.8))),
    Measure("jaw_breadth", "go-go", "NNN",
            ((108.5, 119.9), (112.4, 120.0), (113.8, 120.8)),
            ((8.2, 10.0), (8.5, 9.8), (9.3, 11.4))),
    Measure("face_height", "se-me", "NNN",
            ((113.0, 122.6), (110.8, 120.8), (116.5, 125.4)),
            ((5.8, 6.9), (6.1, 7.3), (6.4, 7.3))),
    Measure("nose_height", "se-sn", "NNN",
            ((48.6, 52.3), (46.2, 51.3), (47.4, 50.8)),
            ((3.7, 4.0), (3.7, 4.4), (3.7, 4.1))),
    Measure("nose_protrusion", "sn-prn", "DCA",
            ((20.0, 21.1), (17.7, 18.7), (16.9, 18.6)),
            ((2.7, 2.4), (2.7, 2.4), (2.7, 2.4))),
    Measure("nose_breadth", "al-al", "NNN",
            ((31.6, 35.3), (35.0, 38.3), (40.1, 43.4)),
            ((2.6, 3.2), (3.5, 4.1), (3.5, 3.9))),
    Measure("mouth_breadth", "ch-ch", "NNN",
            ((47.1, 50.7), (46.8, 50.6), (51.9, 54.4)),
            ((3.5, 4.0), (4.2, 4.5), (3.9, 3.9))),
    Measure("pupil_distance", "pu-pu", "NNN",
            ((61.2, 64.0), (62.0, 64.9), (65.5, 67.7)),
            ((3.1, 3.4), (3.4, 3.9), (3.8, 3.6))),
    Measure("inner_canthi", "en-en", "FFF",
            ((31.8, 33.3), (35.1, 37.2), (34.4, 35.8)),
            ((2.3, 2.7), (2.6, 3.0), (2.8, 2.8)), ("pupil_distance", 0.6)),
    Measure("outer_canthi", "ex-ex", "FAK",
            ((87.8, 91.2), (85.1, 90.0), (94.4, 98.2)),
            ((3.2, 3.0), (3.7, 4.0), (4.9, 3.5)), ("pupil_distance", 0.8)),
    Measure("eye_fissure", "ex-en", "AHA",
            ((29.0, 30.0), (26.0, 27.6), (31.1, 32.3)),
            ((1.2, 1.3), (1.8, 1.7), (2.0, 1.7)), drawn=False),
    Measure("upper_lip", "sn-sto", "FAF",
            ((20.1, 22.3), (20.1, 22.3), (24.5, 26.1)),
            ((2.1, 2.1), (2.1, 2.1), (2.1, 2.1)), ("face_height", 0.4)),
    Measure("upper_vermilion", "ls-sto", "FSF",
            ((8.7, 7.8), (7.0, 7.4), (13.3, 13.6)),
            ((1.3, 1.3), (1.3, 1.3), (1.3, 1.3))),
    Measure("lower_vermilion", "sto-li", "DHK",
            ((9.1, 9.2), (9.8, 11.0), (13.6, 13.8)),
            ((1.3, 1.3), (1.3, 1.3), (1.3, 1.3)), ("upper_vermilion", 0.5)),
    Measure("facial_convexity", "g-sn-pog", "PPP",
            ((168.2, 167.8), (170.2, 168.3), (170.8, 168.5)),
            ((4.0, 4.0), (4.0, 4.0), (4.0, 4.0))),
)  # fmt: skip
MEANS = np.array([row.means for row in MEASURES]).transpose(1, 2, 0)  # [3, 2, M]
DEVIATIONS = np.array([row.deviations for row in MEASURES]).transpose(1, 2, 0)  # [3, 2, M]
DRAWN = np.array([row.drawn for row in MEASURES])  # [M]


def _lines(symbol: str) -> list[list[np.ndarray]]:
    """Rows [2, 2] at the ends of a distance's line, or of the two from an angle's middle place."""
    names = symbol.split("-")
    sides = (0, 1) if names[0] == names[1] else (0,) * len(names)
    rows = [np.resize(PLACES[name][side], 2) for name, side in zip(names, sides)]
    return [rows] if len(rows) == 2 else [[rows[1], rows[0]], [rows[1], rows[2]]]


# Lines of the distances, one each, then of the angles, two each.
_LINES = np.array([line for row in MEASURES for line in _lines(row.symbol)])
NUM_LENGTHS = sum(row.symbol.count("-") == 1 for row in MEASURES)


def offsets(shape: np.ndarray) -> np.ndarray:
    """The lines that the measures are read from, [..., K, 3], linear in a shape.

    Args:
      shape: [..., N, 3] mm of the coarse head (skin and accessories), or a displacement of it.
    """
    ends = shape[..., _LINES, :].mean(axis=-2)
    return ends[..., 1, :] - ends[..., 0, :]


def measure(lines: np.ndarray) -> np.ndarray:
    """The measures [..., M], mm or degrees, of a head with the `offsets` [..., K, 3] mm."""
    lengths = np.linalg.norm(lines, axis=-1)
    units = lines / lengths[..., None]
    cosine = (units[..., NUM_LENGTHS::2, :] * units[..., NUM_LENGTHS + 1 :: 2, :]).sum(axis=-1)
    return np.concatenate([lengths[..., :NUM_LENGTHS], np.degrees(np.arccos(cosine))], axis=-1)


def slopes(lines: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Derivatives [M, T] of the measures at `lines` [K, 3] along changes [T, K, 3] of them."""
    lengths = np.linalg.norm(lines, axis=-1, keepdims=True)
    units = lines / lengths
    arms, others = units[NUM_LENGTHS::2], units[NUM_LENGTHS + 1 :: 2]
    cosine = (arms * others).sum(axis=-1, keepdims=True)
    gradient = units.copy()
    gradient[NUM_LENGTHS::2] = cosine * arms - others
    gradient[NUM_LENGTHS + 1 :: 2] = cosine * others - arms
    gradient[NUM_LENGTHS:] *= np.degrees(1) / lengths[NUM_LENGTHS:]
    gradient[NUM_LENGTHS:] /= np.repeat(np.sqrt(1 - cosine**2), 2, axis=0)
    along = (changes * gradient).sum(axis=-1).T
    return np.concatenate(
        [along[:NUM_LENGTHS], along[NUM_LENGTHS::2] + along[NUM_LENGTHS + 1 :: 2]]
    )


@functools.cache
def correlations() -> tuple[np.ndarray, np.ndarray]:
    """How the measures go together within a sex, and how they change with age.

    Returns:
      Correlations [M, M] at equal age, and slopes [M] in mm from one of the survey's bands of age
      (17 to 29, 30 to 44, 45 years and more) to the next, 0 for what the survey lacks.
    """
    table = np.genfromtxt(_SUBJECTS, delimiter=",", names=True)
    sex = table["sex"][:, None] == [1, 2]

    def within(values: np.ndarray) -> np.ndarray:
        return values - sex @ (sex.T @ values / sex.sum(axis=0))

    age = within(table["age_band"])
    names = [row.name for row in MEASURES]
    rows = [i for i, name in enumerate(names) if name in table.dtype.names]
    values = np.stack([within(table[names[i]]) for i in rows], axis=1)
    by_age = age @ values / (age @ age)
    slope, together = np.zeros(len(names)), np.eye(len(names))
    slope[rows] = by_age
    together[np.ix_(rows, rows)] = np.corrcoef((values - np.outer(age, by_age)).T)
    for i, row in enumerate(MEASURES):
        if row.follows:  # what it shares with others it shares through that one
            other, share = row.follows
            together[i, :i] = together[:i, i] = share * together[names.index(other), :i]
    return together, slope
