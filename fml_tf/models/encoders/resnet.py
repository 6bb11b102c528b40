"""ResNet-50 and -18 (He et al. 2016) as Deep3D takes them, up to their code.

The stride of a stage sits in its last block, as TF-slim has it and as the size of C-Net's input,
28×28×256 for 224 px, tells; stage 4 has none.
"""

import keras
from keras import layers

from fml_tf.models.encoders.parts import scaled

_CHANNELS = (64, 128, 256, 512)
# Blocks of each stage, and whether they are bottlenecks.
_KINDS = {"resnet18": ((2, 2, 2, 2), False), "resnet50": ((3, 4, 6, 3), True)}
_MOMENTUM, _EPSILON = 0.997, 1e-5


class _Convolution(keras.layers.Layer):
    """Convolution without bias, batch normalisation and, as a rule, ReLU."""

    def __init__(self, filters: int, kernel: int, strides: int = 1, relu: bool = True, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.conv = layers.Conv2D(
            filters,
            kernel,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name="conv",
            dtype=dtype,
        )
        self.norm = layers.BatchNormalization(
            momentum=_MOMENTUM, epsilon=_EPSILON, name="norm", dtype=dtype
        )
        self.relu = relu

    def build(self, input_shape):
        """Creates the weights."""
        self.conv.build(input_shape)
        self.norm.build(self.conv.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape):
        """As convolutions have it."""
        return self.conv.compute_output_shape(input_shape)

    def call(self, inputs, training=False):
        """[N, H, W, C] → [N, h, w, filters]."""
        outputs = self.norm(self.conv(inputs), training=training)
        return keras.ops.relu(outputs) if self.relu else outputs


class _Block(keras.layers.Layer):
    """A residual block; its stride is that of its 3×3 convolution, the shortcut is subsampled."""

    def __init__(self, channels: int, bottleneck: bool, strides: int, project: bool, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        if bottleneck:
            sizes = ((channels, 1, 1), (channels, 3, strides), (4 * channels, 1, 1))
        else:
            sizes = ((channels, 3, 1), (channels, 3, strides))
        last = len(sizes) - 1
        self.body = [
            _Convolution(filters, kernel, step, relu=i < last, name=f"conv{i + 1}", dtype=dtype)
            for i, (filters, kernel, step) in enumerate(sizes)
        ]
        self.strides = strides
        self.projection = None
        if project:
            self.projection = _Convolution(
                sizes[-1][0], 1, relu=False, name="projection", dtype=dtype
            )

    def build(self, input_shape):
        """Creates the weights."""
        if self.projection is not None:
            self.projection.build(input_shape)
        for layer in self.body:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        """As its convolutions have it."""
        for layer in self.body:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def call(self, inputs, training=False):
        """[N, H, W, C] → [N, h, w, c]."""
        shortcut = inputs
        if self.projection is not None:
            shortcut = self.projection(shortcut, training=training)
        shortcut = shortcut[:, :: self.strides, :: self.strides]
        outputs = inputs
        for layer in self.body:
            outputs = layer(outputs, training=training)
        return keras.ops.relu(outputs + shortcut)


class ResNet(keras.layers.Layer):
    """Convolution, pooling, four stages of residual blocks, mean over the picture.

    Args:
      kind: "resnet18" or "resnet50".
      width: factor on the number of channels.
    """

    def __init__(self, kind: str, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        counts, bottleneck = _KINDS[kind]
        self.first = _Convolution(scaled(64, width), 7, 2, name="conv1", dtype=dtype)
        self.pool = layers.MaxPool2D(3, 2, padding="same", dtype=dtype)
        self.stages = []
        for stage, (count, channels) in enumerate(zip(counts, _CHANNELS), start=1):
            # Basic blocks of the first stage keep their number of channels.
            project = bottleneck or stage > 1
            self.stages.append(
                [
                    _Block(
                        scaled(channels, width),
                        bottleneck,
                        strides=2 if i == count and stage < len(counts) else 1,
                        project=project and i == 1,
                        name=f"stage{stage}_{i}",
                        dtype=dtype,
                    )
                    for i in range(1, count + 1)
                ]
            )
        self.mean = layers.GlobalAveragePooling2D(dtype=dtype)

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        self.first.build(input_shape)
        shape = self.pool.compute_output_shape(self.first.compute_output_shape(input_shape))
        for number, stage in enumerate(self.stages):
            for block in stage:
                block.build(shape)
                shape = block.compute_output_shape(shape)
            if number == 0:
                self.low_shape = shape
        self.size = shape[-1]

    def call(self, frames, training=False):
        """Frames [N, H, W, 3] in [0, 1] → features [N, 2048]."""
        return self.features(frames, training)[1]

    def features(self, frames, training=False):
        """What stage 1 gives, [N, H/8, W/8, 256], and the features [N, 2048]."""
        outputs = self.pool(self.first(2.0 * frames - 1.0, training=training))
        low = None
        for stage in self.stages:
            for block in stage:
                outputs = block(outputs, training=training)
            low = outputs if low is None else low
        return low, self.mean(outputs)
