"""The networks that see one frame: the papers' numbers of weights and sizes of layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.alexnet import AlexNet
from fml_tf.models.encoders.monocular import Deep3dEncoder, MofaEncoder, MultilevelEncoder
from fml_tf.models.encoders.resnet import ResNet
from fml_tf.models.encoders.vgg import Vgg16

B = 64  # blendshapes of the papers
FRAME = 3 + 3 + B


def _trainable(layer):
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)


@pytest.mark.parametrize(
    ("encoder", "identity_size", "frame_size", "size", "count"),
    [
        (MofaEncoder, 160, FRAME + 27, 240, 57_921_153),
        (MultilevelEncoder, 160 + 1000, FRAME + 27, 240, 62_018_153),
        (Deep3dEncoder, 160, FRAME + 9, 224, 23_997_743),
        (Deep3dEncoder, 160, FRAME + 27, 224, 24_034_625),
    ],
)
def test_weights_are_as_printed(encoder, identity_size, frame_size, size, count):
    network = encoder(ModelConfig(), identity_size, frame_size)
    network.build((None, size, size, 3))
    assert _trainable(network) == count


def test_sizes_of_alexnets_layers():
    network = AlexNet(width=0.1)
    features = tf.zeros((1, 240, 240, 3))
    sizes = []
    network.build(features.shape)
    for layer in network.body[:8]:
        features = layer(features)
        sizes.append(features.shape[1])
    assert sizes == [58, 28, 28, 13, 13, 13, 13, 6]


def test_a_grouped_convolution_is_blind_to_the_other_half():
    layer = AlexNet(width=0.1).body[2]
    layer.build((None, 9, 9, 10))
    inputs = np.random.default_rng(0).normal(size=(1, 9, 9, 10)).astype(np.float32)
    changed = inputs.copy()
    changed[..., 5:] += 1.0
    half = layer.compute_output_shape((1, 9, 9, 10))[-1] // 2
    before, after = layer(inputs), layer(changed)
    np.testing.assert_array_equal(before[..., :half], after[..., :half])
    assert np.abs(before[..., half:] - after[..., half:]).max() > 0.1


def test_alexnet_refuses_crops_that_its_poolings_use_up():
    AlexNet(width=0.1).build((None, 67, 67, 3))
    with pytest.raises(ValueError, match="needs crops of 67 pixels or more, not 66"):
        AlexNet(width=0.1).build((None, 66, 66, 3))


def test_the_stride_of_a_residual_stage_is_in_its_last_block():
    network = ResNet("resnet50", width=0.125)
    network.build((None, 224, 224, 3))
    low, features = network.features(tf.zeros((1, 224, 224, 3)))
    assert low.shape == (1, 28, 28, 32)
    assert features.shape == (1, 256)
    shape, sizes = (None, 56, 56, 8), []
    for stage in network.stages:
        for block in stage:
            shape = block.compute_output_shape(shape)
            sizes.append(shape[1])
    assert sizes == [56, 56, 28, 28, 28, 28, 14, *[14] * 5, 7, 7, 7, 7]


def test_vgg16_has_the_published_number_of_weights():
    network = Vgg16()
    network.build((None, 224, 224, 3))
    assert network.count_params() == 138_357_544 - (4096 * 1000 + 1000)  # without its classes


def test_statistics_follow_the_pictures_in_training_alone():
    network = ResNet("resnet18", width=0.125)
    network.build((None, 64, 64, 3))
    frames = tf.random.stateless_uniform((4, 64, 64, 3), (0, 1))
    moving = network.first.norm.moving_mean
    network(frames, training=False)
    assert not np.any(moving)
    network(frames, training=True)
    assert np.any(moving)


def test_each_head_of_the_correctives_is_in_the_group_of_its_basis():
    config = ModelConfig(network_width=0.05, corrective_size=4)
    network = MultilevelEncoder(config, 6 + 8, 10)
    network.build((None, 80, 80, 3))
    groups = network.weight_groups()
    assert {name: len(weights) for name, weights in groups.items() if name != "network"} == {
        "shape": 2,
        "albedo": 2,
    }
    keras.utils.set_random_seed(4)
    network.shape_head.bias.assign(tf.ones(4))
    network.albedo_head.bias.assign(2 * tf.ones(4))
    code = network.features(tf.zeros((1, 80, 80, 3)), training=False)
    np.testing.assert_array_equal(code[0], [0.0] * 6 + [1.0] * 4 + [2.0] * 4 + [0.0] * 10)


def test_the_identity_of_several_frames_is_the_mean_of_those_that_count():
    network = MofaEncoder(ModelConfig(network_width=0.05), 3, 5)
    network.build((None, 80, 80, 3))
    codes = tf.reshape(tf.range(6 * 8, dtype=tf.float32), (6, 8))
    mask = np.array([[True, False, True], [False, False, False]])
    identity = network.identity(codes, mask, training=False)
    np.testing.assert_allclose(identity, [(codes[0, :3] + codes[2, :3]) / 2, [0, 0, 0]])
    np.testing.assert_array_equal(network.frame_parameters(codes, identity, False), codes[:, 3:])
