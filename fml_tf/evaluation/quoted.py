"""The figures that the papers print, shown beside ours; nothing here is measured by us."""

import dataclasses

FML = "FML (CVPR 2019)"
AT_250_HZ = "250 Hz (CVPR 2018)"
# What FML cites as [60], [32], [24] and [58], the 250-Hz paper as [60], [37] and [26].
MOFA = "MoFA (ICCV 2017)"
INVERSEFACENET = "InverseFaceNet (CVPR 2018)"
GARRIDO = "Garrido et al. (TOG 2016, 35(3))"
DEEP3D = "Deep3D (CVPRW 2019)"
HIGH_FIDELITY = "Tewari et al. (PAMI 2018)"


@dataclasses.dataclass(frozen=True)
class QuotedFigure:
    """A mean and its standard deviation in a paper's table.

    Attributes:
      source: paper and table that print it.
      method: what was measured.
      num_frames: M at test; None for all frames of a video.
      measure: what the figure is, in the paper's words.
      mean: over the test cases.
      sd: over them; None where it is not printed.
      unit: of both.
    """

    source: str
    method: str
    num_frames: int | None
    measure: str
    mean: float
    sd: float | None
    unit: str = "mm"


def _rows(source, measure, rows):
    return [QuotedFigure(source, *row[:2], measure, *row[2:]) for row in rows]


def _videos(source, method, figures):
    """Means and SDs for the three videos of MICC Florence."""
    values = iter(map(float, figures.split()))
    measure = "point-to-plane RMSE over 53 subjects"
    return [
        QuotedFigure(source, method, None, f"{measure}, {video}", next(values), next(values))
        for video in ("Cooperative", "Indoor", "Outdoor")
    ]


QUOTED: dict[str, list[QuotedFigure]] = {
    "bu3dfe": _rows(
        "FML, Table 1",
        "per-vertex RMSE over 324 meshes",
        [
            (f"{FML}, trained with M = 1", 1, 1.92, 0.48),
            (f"{FML}, trained with M = 2", 1, 1.82, 0.45),
            (f"{FML}, trained with M = 4", 1, 1.76, 0.44),
            (f"{FML}, trained with M = 2", 2, 1.80, 0.46),
            (f"{FML}, trained with M = 4", 2, 1.74, 0.43),
            (f"{AT_250_HZ}, fine", 1, 1.83, 0.39),
            (f"{AT_250_HZ}, coarse", 1, 1.81, 0.47),
            (MOFA, 1, 3.22, 0.77),
        ],
    ),
    "facewarehouse": [
        *_rows(
            "FML, Table 2",
            "geometric error over 180 meshes",
            [
                (FML, 1, 1.90, 0.40),
                (f"{AT_250_HZ}, fine", 1, 1.84, 0.38),
                (f"{AT_250_HZ}, coarse", 1, 2.03, 0.52),
                (MOFA, 1, 2.19, 0.54),
                (INVERSEFACENET, 1, 2.11, 0.46),
                (GARRIDO, 1, 1.59, 0.30),
                (HIGH_FIDELITY, 1, 1.87, 0.42),
            ],
        ),
        *_rows(
            "250 Hz, Table 1",
            "Hausdorff distance over 180 meshes",
            [
                (f"{AT_250_HZ}, fine", 1, 1.84, 0.38),
                (f"{AT_250_HZ}, coarse", 1, 2.03, 0.52),
                (MOFA, 1, 2.19, 0.54),
                (INVERSEFACENET, 1, 2.11, 0.46),
                (GARRIDO, 1, 1.59, 0.30),
            ],
        ),
        *_rows(
            "Deep3D, Table 1",
            "geometric error over 180 meshes",
            [
                (f"{DEEP3D}, perceptual", 1, 2.70, 0.73),
                (f"{DEEP3D}, photometric and landmarks", 1, 2.17, 0.65),
                (f"{DEEP3D}, landmarks and perceptual", 1, 2.11, 0.48),
                (f"{DEEP3D}, all losses", 1, 1.81, 0.50),
            ],
        ),
        *_rows(
            "Deep3D, Table 3",
            "geometric error over 180 meshes, region with more of the cheeks",
            [
                (DEEP3D, 1, 1.91, None),
                (f"{AT_250_HZ}, fine", 1, 2.00, None),
                (GARRIDO, 1, 1.84, None),
            ],
        ),
    ],
    "celeba": [
        *_rows(
            "250 Hz, Figure 11",
            "Euclidean distance of colours over its own validation pictures",
            [
                (f"{AT_250_HZ}, final", 1, 18.4, 5.1, "RGB"),
                (f"{AT_250_HZ}, base", 1, 23.5, 6.4, "RGB"),
            ],
        ),
        *_rows(
            "FML, supplemental Table 4",
            "photometric error over 1000 images",
            [
                (f"{FML}, 0 vectors", 1, 32.54, 8.88, "RGB"),
                (f"{FML}, 10 vectors", 1, 23.13, 6.66, "RGB"),
                (f"{FML}, 50 vectors", 1, 21.27, 6.15, "RGB"),
                (f"{FML}, 125 vectors", 1, 20.71, 6.04, "RGB"),
                (f"{FML}, 500 vectors", 1, 20.65, 6.04, "RGB"),
                ("Garrido et al. (TOG 2016, 35(6)), 80 vectors", 1, 21.95, 5.60, "RGB"),
            ],
        ),
    ],
    "micc": [
        *_rows(
            "Deep3D, Table 1",
            "point-to-plane RMSE over frames of the videos",
            [
                (f"{DEEP3D}, perceptual", 1, 1.87, 0.43),
                (f"{DEEP3D}, photometric and landmarks", 1, 1.80, 0.52),
                (f"{DEEP3D}, landmarks and perceptual", 1, 1.71, 0.43),
                (f"{DEEP3D}, all losses", 1, 1.67, 0.50),
            ],
        ),
        *_rows(
            "Deep3D, Table 4",
            "point-to-plane RMSE over scans rendered in many poses",
            [
                (f"{DEEP3D}, mean of single errors", 1, 1.97, 0.70),
                (f"{DEEP3D}, shapes averaged", None, 1.78, 0.59),
                (f"{DEEP3D}, one confidence a picture", None, 1.71, 0.56),
                (f"{DEEP3D}, summed confidences", None, 1.70, 0.55),
                (f"{DEEP3D}, most confident picture", None, 1.71, 0.50),
                (f"{DEEP3D}, coefficients by confidence", None, 1.67, 0.54),
            ],
        ),
        *_videos(
            "Deep3D, Table 2",
            "Tran et al. (CVPR 2017), shapes averaged",
            "1.97 0.49 2.03 0.45 1.93 0.49",
        ),
        *_videos(
            "Deep3D, Table 2",
            "Genova et al. (CVPR 2018), embeddings averaged",
            "1.78 0.54 1.78 0.52 1.76 0.54",
        ),
        *_videos(
            "Deep3D, Tables 2 and 5", f"{DEEP3D}, shapes averaged", "1.66 0.52 1.66 0.46 1.69 0.53"
        ),
        *_videos(
            "Deep3D, Table 5",
            f"{DEEP3D}, coefficients by confidence",
            "1.60 0.51 1.61 0.44 1.63 0.47",
        ),
    ],
}
