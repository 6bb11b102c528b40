"""The networks of Tables 1-3: shapes, weights, the split convolution, zero heads, serialisation."""

import keras
import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.aggregation import max_over_frames
from fml_tf.models.encoders.fml import (
    FmlEncoder,
    FrameEncoder,
    IdentityNetwork,
    ParameterNetwork,
    feature_size,
)


def _built():
    encoder = FrameEncoder()
    encoder.build((None, 240, 240, 3))
    identity = IdentityNetwork(1000)
    identity.build((None, 4, 4, 256))
    parameters = ParameterNetwork(6 + 64 + 27)
    parameters.build(((None, 1000), (None, 14, 14, 384)))
    return encoder, identity, parameters


def test_weights_are_those_of_tables_1_to_3():
    def conv(kernel, inputs, outputs):
        return kernel * kernel * inputs * outputs + outputs

    def dense(inputs, outputs):
        return inputs * outputs + outputs

    encoder = conv(11, 3, 96) + conv(5, 96, 256) + conv(3, 256, 384)
    encoder += conv(3, 384, 256) + conv(3, 256, 256)
    identity = conv(3, 256, 384) + conv(3, 384, 256)
    identity += dense(4 * 4 * 256, 1000) + dense(1000, 1000) + dense(1000, 1000)
    parameters = dense(1000, 14 * 14) + conv(3, 1, 384) + conv(3, 768, 384)
    parameters += conv(3, 384, 384) + conv(3, 384, 256)
    parameters += dense(6 * 6 * 256, 2048) + dense(2048, 6 + 64 + 27)
    counts = [layer.count_params() for layer in _built()]
    assert counts == [encoder, identity, parameters]
    assert round(sum(counts) / 1e6, 2) == 35.02


def test_activation_shapes_are_those_of_table_1():
    encoder = FrameEncoder()
    low, medium = encoder(tf.zeros((2, 240, 240, 3)))
    assert low.shape == (2, 14, 14, 384)
    assert medium.shape == (2, 4, 4, 256)
    assert feature_size(240) == 14


def test_split_convolution_equals_one_convolution_over_the_concatenation():
    network = ParameterNetwork(38, width=0.05)
    network.build(((None, 6), (None, 5, 5, 8)))
    rng = np.random.default_rng(0)
    identity = tf.constant(rng.normal(size=(2, 6)), tf.float32)
    low = tf.constant(rng.normal(size=(6, 5, 5, 8)), tf.float32)  # 2 people x 3 frames
    for layer in network.body:  # heads start at zero; give them something to show
        for weight in layer.trainable_weights:
            weight.assign(rng.normal(size=weight.shape, scale=0.3))
    result = network((identity, low))

    identity_map = network.identity_map(
        tf.reshape(network.identity_dense(tf.repeat(identity, 3, axis=0)), (6, 5, 5, 1))
    )
    kernel = tf.concat([network.merge_identity.kernel.value, network.merge_frame.kernel.value], 2)
    features = tf.nn.conv2d(tf.concat([identity_map, low], -1), kernel, 1, "SAME")
    features = tf.nn.relu(features + network.merge_frame.bias.value)
    for layer in network.body:
        features = layer(features)
    np.testing.assert_allclose(result, features, rtol=1e-4, atol=1e-4)


def test_heads_start_at_zero():
    encoder, identity, parameters = (
        FrameEncoder(0.1),
        IdentityNetwork(16, 0.1),
        ParameterNetwork(38, 0.1),
    )
    low, medium = encoder(tf.random.stateless_uniform((3, 64, 64, 3), (0, 1)))
    vectors = identity(medium)
    outputs = parameters((vectors, low))
    assert vectors.shape == (3, 16) and outputs.shape == (3, 38)
    for values in (vectors, outputs):
        assert not np.any(values)


def test_layers_survive_serialisation():
    for layer in (FrameEncoder(0.1), IdentityNetwork(16, 0.1), ParameterNetwork(38, 0.1)):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert copy.get_config() == layer.get_config()


def test_the_maximum_over_frames_leaves_masked_frames_out():
    features = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype(np.float32)
    mask = np.array([[True, False, True], [False, True, False]])
    pooled = max_over_frames(tf.constant(features), tf.constant(mask))
    np.testing.assert_array_equal(pooled[0], np.maximum(features[0], features[2]))
    np.testing.assert_array_equal(pooled[1], features[4])


def test_bfloat16_computes_about_the_same_with_float32_weights():
    sizes = {"network_width": 0.1, "crop_size": 64}
    outputs = {}
    for dtype in ("float32", "bfloat16"):
        keras.utils.set_random_seed(0)
        encoder = FmlEncoder(ModelConfig(compute_dtype=dtype, **sizes), 6, 38)
        encoder.build((None, 64, 64, 3))
        assert all(weight.dtype == "float32" for weight in encoder.weights)
        for network in (encoder.identity_network, encoder.parameter_network):
            kernel = network.body[-1].kernel
            kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
        frames = tf.random.stateless_uniform((2, 64, 64, 3), (0, 0))
        features = encoder.features(frames, training=False)
        identity = encoder.identity(features, tf.constant([[True, True]]), training=False)
        outputs[dtype] = encoder.frame_parameters(features, identity, training=False)
        assert identity.dtype == outputs[dtype].dtype == tf.float32
    error = tf.norm(outputs["bfloat16"] - outputs["float32"]) / tf.norm(outputs["float32"])
    assert 0 < float(error) < 0.03
