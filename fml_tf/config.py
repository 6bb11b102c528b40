"""Every setting of a model and of a training run, with its default and its meaning, in one place.

The scripts turn the fields into absl flags (`define_flags`) and back (`from_flags`), so that a
field is documented, set in a `configs/*.cfg` flagfile and written beside the results under one
name.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence

from absl import flags

RENDERING_BACKENDS = ("fast", "tfg")
"""Names of the backends of fml_tf/rendering."""

BACKBONES = ("alexnet", "vgg16", "resnet18", "resnet50")
"""Names of the networks of systems that see one frame at a time."""

OPTIMIZERS = ("adam", "adadelta")
"""Names of the classes in training/optimizer.py."""

COMPUTE_DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras' policies by the types of number that networks can compute with."""


def _field(
    default,
    help_text: str,
    choices: Sequence[str] | None = None,
    lower_bound: float | None = None,
    free: bool = False,
):
    """A field with what its flag needs; `free`: weights mean the same whatever its value is."""
    metadata = {
        "help": help_text,
        "choices": choices,
        "lower_bound": lower_bound,
        "free": free,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What is needed to build a model again; stored in `model.json` beside its weights."""

    system: str = _field("fml", "Encoder and face model, by a name of models/building.py.")
    template: str = _field("makehuman", "Face template: 'makehuman' or a BFM/FLAME/ICT file.")
    template_resolution: str = _field(
        "4k", "Vertices of the makehuman template.", choices=("4k", "16k", "60k")
    )
    template_mean: str = _field(
        "average", "Mean face that the model starts from, such as 'average', 'asian-female-young'."
    )
    expression_basis: str = _field(
        "pca",
        "'pca' of random mixtures of the face units (as the papers do) or the raw 'blendshapes'.",
        choices=("pca", "blendshapes"),
    )
    expression_variance: float = _field(0.99, "Share of the variance that the PCA basis keeps.")
    num_graph_nodes: int = _field(521, "|G|, nodes of the deformation graph.", lower_bound=4)
    shape_size: int = _field(500, "g, vectors of the learned shape basis Θs.", lower_bound=1)
    albedo_size: int = _field(500, "|β|, vectors of the learned albedo basis Θa.", lower_bound=1)
    prior: str = _field(
        "synthetic",
        "Statistical face model of the systems that are given one: of 200 generated Europeans with "
        "clean skin, as scans are; of 2,000 generated people of all kinds; or that of the file "
        "of --template.",
        choices=("synthetic", "synthetic_all", "file"),
    )
    prior_size: int = _field(
        80, "Vectors of the statistical model's shape, and of its albedo.", lower_bound=1
    )
    corrective_size: int = _field(
        500,
        "Vectors of the learned correctives of --system=multilevel, of shape and of albedo.",
        lower_bound=1,
    )
    backbone: str = _field(
        "",
        "Network of a system that sees one frame at a time; the one of its paper, if not given.",
        choices=("", *BACKBONES),
    )
    confidence: str = _field(
        "coefficient",
        "What --system=deep3d_sets trusts pictures with: each coefficient of the shape, or a "
        "picture as a whole.",
        choices=("coefficient", "picture"),
    )
    network_width: float = _field(
        1.0,
        "Factor on the channels of all network layers; 1 gives those of the papers.",
        lower_bound=0.01,
    )
    frame_pooling: str = _field(
        "mean",
        "How the features of a person's frames become one; the paper takes the mean, and tries "
        "the maximum.",
        choices=("mean", "max"),
    )
    crop_size: int = _field(240, "Width and height of the input crops, pixels.", lower_bound=64)
    crop_margin: float = _field(
        1.5,
        "Width of a crop over the larger side of the landmarks' bounding box (ours).",
        lower_bound=1.0,
    )
    focal_length: float = _field(
        4.5, "Focal length in crop widths (ours; the paper gives none).", lower_bound=0.01
    )
    light: str = _field(
        "colour",
        "Light of any colour (27 numbers a frame), or white (9).",
        choices=("colour", "white"),
    )
    initial_shading: float = _field(
        1.0,
        "The even light of the first prediction: colours over albedo (ours; MoFA: 0.7).",
        lower_bound=0.0,
    )
    depth_rate: float = _field(
        1.0,
        "Factor on the depth among a network's outputs, which acts as one on its learning rate.",
        lower_bound=1e-6,
    )
    length_unit_mm: float = _field(
        100.0,
        "Unit of Θs, of translations at the network's output and of the smoothness term, mm.",
        lower_bound=0.01,
    )
    rendering_backend: str = _field(
        "fast",
        "What projects, lights and draws faces: 'fast', or 'tfg', tensorflow-graphics.",
        choices=RENDERING_BACKENDS,
        free=True,
    )
    pixel_size: int = _field(
        0,
        "Width of the pictures that pixel-wise terms of the objective compare, pixels; 0 for "
        "--crop_size.",
        lower_bound=0,
        free=True,
    )
    perceptual_every: int = _field(
        1,
        "The perceptual term looks at one in so many of a batch's frames, since it takes long.",
        lower_bound=1,
        free=True,
    )
    compute_dtype: str = _field(
        "float32",
        "What the networks compute with; their weights are float32. bfloat16 is faster where "
        "processors have it (AMX, tensor cores), and rounds to 3 digits.",
        choices=tuple(COMPUTE_DTYPES),
        free=True,
    )
    initial_basis_stddev: float = _field(
        1e-3,
        "Standard deviation of learned bases at the start, of shape in length_unit_mm (ours).",
        lower_bound=0.0,
        free=True,
    )
    initial_albedo_red: float = _field(
        0.62, "Constant skin tone that the mean albedo starts from.", free=True
    )
    initial_albedo_green: float = _field(0.46, "See initial_albedo_red.", free=True)
    initial_albedo_blue: float = _field(0.39, "See initial_albedo_red.", free=True)

    def differences(self, other: "ModelConfig") -> list[str]:
        """Where `other` describes another model, as "name=its value"; free fields do not count."""
        return [
            f"{field.name}={getattr(other, field.name)!r}"
            for field in dataclasses.fields(self)
            if not field.metadata["free"]
            and getattr(self, field.name) != getattr(other, field.name)
        ]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training run: data, the three stages of the paper, loss weights, learning rates."""

    data: str = _field(
        "synthetic_faces/quickstart",
        "Data set: 'synthetic_faces/CONFIG' (built when missing), 'video_faces' with --video_dir, "
        "or 'voxceleb2_frames/CONFIG' (made by python -m datasets.voxceleb2_frames).",
    )
    data_dir: str = _field("data", "Where prepared data sets are kept.")
    video_dir: str = _field("", "Folder of videos, one person a clip, for --data=video_faces.")
    images_per_clip: int = _field(
        60, "Multi-frame images of each clip, for --data=video_faces.", lower_bound=1
    )
    candidates_per_image: int = _field(
        8,
        "Frames of a clip that each of its multi-frame images chooses its M diverse poses from.",
        lower_bound=1,
    )
    min_pose_distance: float = _field(
        3.0,
        "Least angle between the head poses of two frames of an image, degrees (video_faces).",
        lower_bound=0.0,
    )
    min_face_size: int = _field(
        200,
        "Least width of a face's crop in the video, pixels (paper: 200; video_faces).",
        lower_bound=1,
    )
    min_confidence: float = _field(
        0.5, "Least mean confidence of a face's landmarks (ours; video_faces).", lower_bound=0.0
    )
    num_frames: int = _field(4, "M, frames of each person in a training example.", lower_bound=1)
    batch_size: int = _field(4, "B, people in a step, over all replicas.", lower_bound=1)
    initial_checkpoint: str = _field(
        "",
        "Start from the weights of this model or training run; --system=deep3d_sets starts from a "
        "deep3d.",
    )
    initial_bases: str = _field(
        "random",
        "Where Θs and Θa start: at random (paper), or (ours) as principal components, of smooth "
        "random changes of the template, or of the training people, where these are known. Not "
        "with --initial_checkpoint.",
        choices=("random", "smooth", "people"),
    )
    pretrain_steps: int = _field(
        2000,
        "Stage 1: pose, light and expression, with the identity held at the mean.",
        lower_bound=0,
    )
    pretrain_until_landmark_px: float = _field(
        0.0,
        "End stage 1 once the landmark error of the validation people is below this, crop pixels; "
        "stage 2 takes the steps that are left (ours). 0 never ends it early.",
        lower_bound=0.0,
    )
    base_steps: int = _field(
        0,
        "Of --system=multilevel, before stage 2: everything but the correctives, which are held at "
        "zero.",
        lower_bound=0,
    )
    joint_steps: int = _field(100_000, "Stage 2: everything.", lower_bound=0)
    finetune_steps: int = _field(
        20_000, "Stage 3: everything, with a higher rate for the albedo.", lower_bound=0
    )
    optimizer: str = _field(
        "adam", "What updates the weights; MoFA's and 250 Hz's is adadelta.", choices=OPTIMIZERS
    )
    network_learning_rate: float = _field(1e-4, "Rate for the networks.", lower_bound=0.0)
    base_learning_rate: float = _field(
        1e-4, "Rate for the network in the steps of --base_steps.", lower_bound=0.0
    )
    shape_learning_rate: float = _field(
        1e-4, "Rate for the learned basis of shapes (in length_unit_mm).", lower_bound=0.0
    )
    albedo_learning_rate: float = _field(
        1e-4, "Rate for the learned basis of albedos and the mean albedo.", lower_bound=0.0
    )
    finetune_albedo_learning_rate: float = _field(
        1e-3,
        "Rate for Θa and the mean albedo in stage 3; it does not fall, unlike the others.",
        lower_bound=0.0,
    )
    final_learning_rate_fraction: float = _field(
        1.0,
        "The rates fall along a cosine to this fraction of themselves; 1 keeps them constant.",
        lower_bound=0.0,
    )
    photometric_weight: float = _field(
        1.6, "λpho·|V| of equation (8): divided by |V| in the loss.", lower_bound=0.0
    )
    photometric_visible_weight: float = _field(
        0.0,
        "The other reading of λpho: |V| is the number of vertices that a frame shows.",
        lower_bound=0.0,
    )
    robust_photometric_weight: float = _field(
        0.0,
        "MoFA's photometric term: the distance of colours, not its square, summed over what a "
        "frame shows of the face and divided by all of its vertices.",
        lower_bound=0.0,
    )
    robust_visible_photometric_weight: float = _field(
        0.0, "The same, divided by the number of vertices that a frame shows.", lower_bound=0.0
    )
    base_photometric_weight: float = _field(
        0.0, "The latter of the base level of --system=multilevel.", lower_bound=0.0
    )
    pixel_photometric_weight: float = _field(
        0.0,
        "Deep3D's photometric term: the mean distance of colours over the pixels that show skin.",
        lower_bound=0.0,
    )
    perceptual_weight: float = _field(
        0.0,
        "Deep3D's perceptual term: 1 - cosine of what a face recognition network sees in picture "
        "and rendered face.",
        lower_bound=0.0,
    )
    landmark_weight: float = _field(4.7, "λlan of equation (8).", lower_bound=0.0)
    base_landmark_weight: float = _field(
        0.0, "The same of the base level of --system=multilevel.", lower_bound=0.0
    )
    inner_landmark_weight: float = _field(
        0.0, "MoFA's landmark term: the 46 of brows, eyes, nose and mouth.", lower_bound=0.0
    )
    landmark_fit_weight: float = _field(
        0.0,
        "Distance to the shape, pose and expression that minimise the terms landmark, smoothness "
        "and expression for this batch (ours).",
        lower_bound=0.0,
    )
    smoothness_weight: float = _field(1e-3, "λsmo of equation (9).", lower_bound=0.0)
    sparsity_weight: float = _field(1e-7, "λspa of equation (9).", lower_bound=0.0)
    expression_weight: float = _field(1e-8, "λble of equation (9).", lower_bound=0.0)
    weighted_landmark_weight: float = _field(
        0.0,
        "Deep3D's landmark term: nose and inner mouth count 20 times as much.",
        lower_bound=0.0,
    )
    shape_prior_weight: float = _field(
        0.0, "Sum of squares of a statistical model's shape coefficients, in σ.", lower_bound=0.0
    )
    albedo_prior_weight: float = _field(
        0.0, "The same of its albedo coefficients.", lower_bound=0.0
    )
    corrective_smoothness_weight: float = _field(
        0.0,
        "Squared differences of neighbours' shape correctives, mm², a mean over vertices.",
        lower_bound=0.0,
    )
    corrective_size_weight: float = _field(
        0.0, "Squared length of shape correctives, mm², a mean over vertices.", lower_bound=0.0
    )
    reflectance_sparsity_weight: float = _field(
        0.0,
        "Differences of neighbours' albedo where the picture's chroma is alike, to the power 0.9.",
        lower_bound=0.0,
    )
    reflectance_constancy_weight: float = _field(
        0.0, "Squared differences of albedo over bare skin.", lower_bound=0.0
    )
    flat_albedo_weight: float = _field(
        0.0, "Variance of the albedo over bare skin, summed over channels.", lower_bound=0.0
    )
    true_position_weight: float = _field(
        0.0,
        "Weight of the true projected positions; synthetic people only (ours).",
        lower_bound=0.0,
    )
    true_shape_weight: float = _field(
        0.0, "Weight of the true neutral shape, likewise (ours).", lower_bound=0.0
    )
    true_expression_weight: float = _field(
        0.0, "Weight of the true expression, likewise (ours).", lower_bound=0.0
    )
    true_albedo_weight: float = _field(
        0.0, "Weight of the true albedo, likewise (ours).", lower_bound=0.0
    )
    true_rotation_weight: float = _field(
        0.0, "Weight of the true head pose, likewise (ours).", lower_bound=0.0
    )
    random_num_frames: bool = _field(
        False,
        "Pool the identity over a random subset of an example's frames (ours), to train for any M. "
        "Pose, expression and light are regressed for all frames, and the losses see them all.",
    )
    augment_colour: float = _field(
        0.0,
        "Largest random change of a person's colours, such as 0.2 (ours; the paper has none).",
        lower_bound=0.0,
    )
    augment_crop: float = _field(
        0.0,
        "Largest random shift of each crop, as a share of its width, such as 0.04 (ours).",
        lower_bound=0.0,
    )
    augment_blur: float = _field(
        0.0, "Largest random blur of each crop, pixels, such as 1.5 (ours).", lower_bound=0.0
    )
    augment_flip: bool = _field(False, "Mirror each person left to right or not, at random (ours).")
    seed: int = _field(0, "Seeds weights, data order and augmentation.", lower_bound=0)
    checkpoint_every: int = _field(1000, "Steps between checkpoints.", lower_bound=1)
    validate_every: int = _field(
        1000, "Steps between validations on the split 'validation'.", lower_bound=1
    )
    validation_examples: int = _field(
        64, "At most this many examples of that split are used.", lower_bound=1
    )
    log_every: int = _field(50, "Steps between scalar summaries.", lower_bound=1)
    image_summary_every: int = _field(1000, "Steps between picture summaries.", lower_bound=1)
    distribution: str = _field(
        "none",
        "tf.distribute strategy; 'multiworker' reads TF_CONFIG, its workers share --output_dir.",
        choices=("none", "mirrored", "multiworker"),
    )


_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
}


def define_flags(
    config_class: type, module_name: str, flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines one absl flag for each field of a config, for the script `module_name`."""
    hints: dict[str, type | types.GenericAlias] = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        arguments = (field.name, field.default)
        if field.metadata["choices"]:
            flags.DEFINE_enum(
                *arguments,
                field.metadata["choices"],
                field.metadata["help"],
                flag_values,
                module_name,
            )
        else:
            bound = field.metadata["lower_bound"]
            _DEFINE[hints[field.name]](
                *arguments,
                field.metadata["help"],
                **({} if bound is None else {"lower_bound": bound}),
                flag_values=flag_values,
                module_name=module_name,
            )


def from_flags(config_class: type, flag_values: flags.FlagValues):
    """The config whose fields have the values of the flags that `define_flags` made."""
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: flag_values[name].value for name in names})
