"""What the two rendering backends cost, beside each other and beside the machine's floor.

Three measurements, each with its cases timed in the same rounds:

- the image formation that training goes through (pose, projection, light), forward and backward;
- pixels of a crop, forward (a picture) and with gradients (a pixel loss), with tensorflow-graphics'
  own rasteriser and with ours instead; and how far their results differ;
- the rasterisers alone. The floor is the traffic that none can avoid, at the measured bandwidth:
  corners and indices of the triangles read, the fragments written. tensorflow-graphics' op is C++
  that walks over the triangles one by one, and writes no depth in mm.

    python -m benchmarks.rendering --template_resolution=60k
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import resource

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import machine
from fml_tf.geometry.normals import build_one_ring
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.fast import FAST
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.image_formation import form_faces
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.rendering.tfg import TfgBackend, clip_coordinates
from fml_tf.rendering.tfg_rasterizer import compile_rasterizer
from fml_tf.structures import FaceParameters
from fml_tf.template.loading import load_template

DISTANCE_MM = 1200.0
FOCAL_LENGTH_CROPS = 4.5
FLOAT_BYTES = 4


def scene(template, num_frames: int):
    """Vertices and striped colours [V, 3, N], each frame a little further away."""
    distances = DISTANCE_MM + 20.0 * np.arange(num_frames, dtype=np.float32)
    vertices = template.mean_shape[..., None] - np.array([0, 0, 1])[:, None] * distances
    colours = np.repeat(0.5 + 0.4 * np.sin(template.mean_shape / 5.0)[..., None], num_frames, -1)
    return tf.constant(vertices, tf.float32), tf.constant(colours, tf.float32)


def image_formation(backend, template, camera, num_frames):
    """One person's frames, forward and backward to vertices, albedo, pose and light."""
    one_ring = build_one_ring(template.triangles, template.num_vertices)
    rng = np.random.default_rng(1)
    values = {
        "vertices": template.mean_shape[..., None],
        "albedo": rng.uniform(size=[template.num_vertices, 3, 1]),
        "displacements": np.zeros([template.num_vertices, 3, num_frames]),
        "rotation": rng.normal(0, 0.2, [1, num_frames, 3]),
        "translation": np.tile([0, 0, -DISTANCE_MM], [1, num_frames, 1]),
        "illumination": np.tile(ambient_illumination(), [1, num_frames, 1, 1]),
    }
    values = {name: tf.constant(value, tf.float32) for name, value in values.items()}

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(values)
            frame = {name: values[name] for name in ("rotation", "translation", "illumination")}
            parameters = FaceParameters(identity={}, frame=frame)
            _, _, positions, colours, visible = form_faces(
                values["vertices"],
                values["albedo"],
                values["displacements"],
                parameters,
                one_ring,
                camera,
                backend,
            )
            seen = tf.cast(visible, tf.float32)[:, None]
            loss = tf.reduce_sum(seen * colours**2) + tf.reduce_sum(seen * positions**2)
        return tape.gradient(loss, values)["vertices"]

    return lambda: run().numpy()


def pixels(backend, template, camera, num_frames, with_gradients):
    """N crops; with gradients, back to vertices and colours.

    Returns a function that yields the crops or, with gradients, these and both gradients.
    """
    vertices, colours = scene(template, num_frames)
    triangles = tf.constant(template.triangles)

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch([vertices, colours])
            picture, _ = backend.render(vertices, colours, triangles, camera)
            loss = tf.reduce_sum(picture**2)
        if not with_gradients:
            return [picture]
        gradients = tape.gradient(loss, [vertices, colours])
        return [picture, *map(tf.convert_to_tensor, gradients)]

    return lambda: [result.numpy() for result in run()]


def print_agreement(cases: dict) -> None:
    """Prints how far the results of cases of `pixels` lie from those of the first."""
    (_, first), *others = cases.items()
    expected = first()
    for name, case in others:
        found = case()
        apart = np.abs(found[0] - expected[0]).max(axis=-1) > 0.01
        gradients = [
            np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
            for ours, theirs in zip(found[1:], expected[1:])
        ]
        print(
            f"  {name:24} {100 * apart.mean():.3f} % of the pixels differ by more than 0.01; "
            f"gradients by {100 * gradients[0]:.2g} % (vertices) and {100 * gradients[1]:.2g} % "
            "(colours) of their norm",
            flush=True,
        )


def print_peaks(cases: dict) -> None:
    """Runs cases in order, and prints the process's peak of memory after each."""
    for name, case in cases.items():
        case()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {name:24} peak of memory so far {peak:.2f} GiB", flush=True)


def compare(cases: dict, rounds: int) -> None:
    """Times cases and prints them, and by how much they take longer than the first."""
    seconds = machine.interleave(cases, rounds)
    first = np.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        median = np.median(times)
        print(
            f"  {name:24} {1e3 * median:8.1f} ms (best {1e3 * times.min():.1f}); "
            f"× {median / first:.2f}",
            flush=True,
        )


def compare_rasterizers(template, camera, ops, rounds: int) -> None:
    """Prints the times of both rasterisers and their floor, of one frame."""
    vertices, triangles = scene(template, 1)[0][..., 0], tf.constant(template.triangles)
    clip = clip_coordinates(vertices[None], camera)[0]

    @tf.function
    def ours():
        return rasterize(vertices, triangles, camera)

    @tf.function
    def theirs():
        return ops.rasterize_triangles(clip, triangles, camera.width, camera.height, 1, 0)

    seconds = machine.interleave(
        {
            "ours": lambda: ours().depth.numpy(),
            "theirs": lambda: theirs()[0].numpy(),
            **machine.probes(),
        },
        rounds,
    )
    limits = machine.limits(seconds)
    pixel_count = camera.width * camera.height
    floats = len(template.triangles) * (3 + 9) + pixel_count * (1 + 3 + 1)
    floor = limits.floor_seconds(bytes_moved=FLOAT_BYTES * floats)
    own, peer = np.median(seconds["ours"]), np.median(seconds["theirs"])
    print(
        f"rasterisers alone, one frame; {limits}\n"
        f"  ours                     {1e3 * own:8.1f} ms (best {1e3 * seconds['ours'].min():.1f})\n"
        f"  tensorflow-graphics' op  {1e3 * peer:8.1f} ms (best "
        f"{1e3 * seconds['theirs'].min():.1f}); × {peer / own:.2f}\n"
        f"  floor                    {1e3 * floor:8.1f} ms; floor / ours {floor / own:.3f}",
        flush=True,
    )


def measure(resolution: str, size: int, num_frames: int, rounds: int) -> None:
    """Prints all times of one resolution of the template in crops of size × size."""
    template = load_template("makehuman", resolution)
    camera = PerspectiveCamera(FOCAL_LENGTH_CROPS * size, size, size)
    ops = tf.load_op_library(str(compile_rasterizer()))
    print(
        f"{template.num_vertices} vertices, {len(template.triangles)} triangles, {size}², "
        f"{num_frames} frames, {rounds} rounds"
    )
    backends = {"fast": FAST, "tfg": TfgBackend(ops), "tfg, our rasteriser": TfgBackend()}
    print("image formation, forward and backward")
    cases = {
        name: image_formation(backends[name], template, camera, num_frames)
        for name in ("fast", "tfg")
    }
    print_peaks(cases)
    compare(cases, rounds)
    for title, with_gradients in (("forward", False), ("forward and backward", True)):
        print(f"pixels, {title}")
        cases = {
            name: pixels(backend, template, camera, num_frames, with_gradients)
            for name, backend in backends.items()
        }
        compare(cases, rounds)
    print_agreement(cases)
    compare_rasterizers(template, camera, ops, rounds)


def main(argv):
    """Measures what the flags give."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    measure(values.template_resolution, values.size, values.num_frames, values.rounds)


if __name__ == "__main__":
    flags.DEFINE_enum(
        "template_resolution", "60k", ["4k", "16k", "60k"], "About this many vertices."
    )
    flags.DEFINE_integer("size", 240, "Width and height of the crop, pixels.", lower_bound=1)
    flags.DEFINE_integer("num_frames", 8, "N, frames in a batch.", lower_bound=1)
    flags.DEFINE_integer("rounds", 9, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
