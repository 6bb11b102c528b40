"""The files of serving/ are what TensorFlow Serving and Docker Compose parse."""

import pathlib

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

CONFIGS = pathlib.Path(__file__).parents[1] / "serving"

# Messages whose modules tensorflow-serving-api leaves out: the fields that we set, with number and
# type as in TensorFlow Serving's session_bundle_config.proto and monitoring_config.proto.
INT64 = ".google.protobuf.Int64Value"
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, INT64),
        "batch_timeout_micros": (2, INT64),
        "max_enqueued_batches": (3, INT64),
        "num_batch_threads": (4, INT64),
        "pad_variable_length_inputs": (7, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, ".PrometheusConfig")},
}


@pytest.fixture(scope="module")
def messages():
    file = descriptor_pb2.FileDescriptorProto(
        name="messages.proto", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    scalars = {
        "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
        "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    }
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            kind = {"type": scalars[kind]} if kind in scalars else {"type_name": kind}
            message.field.add(name=field, number=number, **kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    return message_factory.GetMessages([file], pool=pool)


def _parse(name, message):
    return text_format.Parse((CONFIGS / name).read_text(encoding="utf-8"), message)


def test_models_config():
    config = _parse("models.config", model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("fml", "/models/fml")


def test_batching_config(messages):
    config = _parse("batching.config", messages["BatchingParameters"]())
    assert config.max_batch_size.value >= 1 and config.num_batch_threads.value >= 1
    assert not config.pad_variable_length_inputs  # it would pad masks with their first value


def test_monitoring_config(messages):
    config = _parse("monitoring.config", messages["MonitoringConfig"]())
    assert config.prometheus_config.enable and config.prometheus_config.path.startswith("/")


def test_docker_compose_mounts_what_the_configs_name():
    service = yaml.safe_load((CONFIGS / "docker-compose.yml").read_text())["services"]["fml"]
    mounts = {target: source for source, target, _ in (v.split(":") for v in service["volumes"])}
    flags = dict(argument.removeprefix("--").split("=") for argument in service["command"])
    assert set(flags) == {"model_config_file", "monitoring_config_file"}
    for path in flags.values():
        folder, name = path.rsplit("/", 1)
        assert (CONFIGS / mounts[folder] / name).is_file()
    config = _parse("models.config", model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert mounts[model.base_path] == "../exports/fml"
    assert [port.split(":")[-1] for port in service["ports"]] == ["8500", "8501"]
