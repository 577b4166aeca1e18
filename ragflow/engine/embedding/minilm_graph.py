"""Writes minilm.onnx: the graph of all-MiniLM-L6-v2 whose weights stay in model.safetensors.

A tool for developers (it needs the `onnx` package); the result is committed.

    python -m ragflow.engine.embedding.minilm_graph MODEL_FOLDER OUTPUT_FILE

The graph takes `input_ids` and `attention_mask` (int64, batch x sequence) and gives `embedding` (float32, batch x
hidden, rows of unit length). It is BERT (Devlin et al., 2018) with mean pooling over the tokens that the mask keeps.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

WEIGHTS_FILE = "model.safetensors"
OPSET = 18
IR_VERSION = 9
MASKED = -3e38  # added to the attention scores of padding; finite, so that a row of padding gives no NaN


def read_header(weights: Path) -> tuple[bytes, int]:
    """Return the JSON header of a safetensors file and the offset where its data begins.

    The file is: header length (8 bytes, little endian), header, data.
    """
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return file.read(length), 8 + length


def build_graph(folder: Path) -> bytes:
    """Return the ONNX file for the model in this folder (config.json and model.safetensors)."""
    config = json.loads((folder / "config.json").read_text())
    header, data_start = read_header(folder / WEIGHTS_FILE)
    return _BertGraph(config, json.loads(header), data_start).serialize()


class _BertGraph:
    """Collects nodes and initializers while the network is spelled out from input to output."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Any], data_start: int) -> None:
        self.hidden: int = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.layers: int = config["num_hidden_layers"]
        self.epsilon: float = config["layer_norm_eps"]
        self.tensors = tensors
        self.data_start = data_start
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    def serialize(self) -> bytes:
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT, out="mask")
        states = self.embed_tokens()
        bias = self.attention_bias(mask)
        for index in range(self.layers):
            states = self.encode(states, bias, f"encoder.layer.{index}")
        self.pool(states, mask)
        return self.model_bytes()

    # -- the network -----------------------------------------------------------------------------------------------

    def embed_tokens(self) -> str:
        """Sum of word, position and (always the first) segment embedding, normalised."""
        words = self.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids", out="words")
        segment = self.node(
            "Gather", self.weight("embeddings.token_type_embeddings.weight"), self.integer("first", 0), out="segment"
        )
        table = self.node("Add", self.weight("embeddings.position_embeddings.weight"), segment, out="position_table")
        # A slice of the table: onnxruntime 1.32 rewrites Range + Gather to a Slice that fails.
        length = self.node("Shape", "input_ids", start=1, end=2, out="length")
        start = self.integer("start", [0])
        positions = self.node("Slice", table, start, length, start, out="positions")
        return self.layer_norm(self.node("Add", words, positions, out="summed"), "embeddings.LayerNorm")

    def attention_bias(self, mask: str) -> str:
        """0 for tokens and a huge negative number for padding, shaped (batch, 1, 1, sequence)."""
        padding = self.node("Sub", self.number("one", 1.0), mask, out="padding")
        scaled = self.node("Mul", padding, self.number("masked", MASKED), out="padding_bias")
        return self.node("Unsqueeze", scaled, self.integer("axes_1_2", [1, 2]), out="attention_bias")

    def encode(self, states: str, bias: str, layer: str) -> str:
        attended = self.attend(states, bias, f"{layer}.attention")
        states = self.add_and_normalise(attended, states, f"{layer}.attention.output")
        widened = self.gelu(self.linear(states, f"{layer}.intermediate.dense"), layer)
        return self.add_and_normalise(widened, states, f"{layer}.output")

    def attend(self, states: str, bias: str, name: str) -> str:
        """softmax(q k^T / sqrt(d) + bias) v, per head; heads joined again."""
        scale = self.number("query_scale", 1 / np.sqrt(self.hidden // self.heads))
        scaled_query = self.node("Mul", self.linear(states, f"{name}.self.query"), scale, out=f"{name}.scaled_query")
        query = self.split_heads(scaled_query, [0, 2, 1, 3])
        key = self.split_heads(self.linear(states, f"{name}.self.key"), [0, 2, 3, 1])
        value = self.split_heads(self.linear(states, f"{name}.self.value"), [0, 2, 1, 3])
        scores = self.node("MatMul", query, key, out=f"{name}.scores")
        biased = self.node("Add", scores, bias, out=f"{name}.biased")
        weights = self.node("Softmax", biased, axis=-1, out=f"{name}.weights")
        context = self.node("MatMul", weights, value, out=f"{name}.context")
        turned = self.node("Transpose", context, perm=[0, 2, 1, 3], out=f"{name}.turned")
        return self.node("Reshape", turned, self.integer("joined", [0, 0, self.hidden]), out=f"{name}.joined")

    def split_heads(self, states: str, order: list[int]) -> str:
        shape = self.integer("split", [0, 0, self.heads, self.hidden // self.heads])
        split = self.node("Reshape", states, shape, out=f"{states}.split")
        return self.node("Transpose", split, perm=order, out=f"{states}.heads")

    def gelu(self, states: str, name: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, the exact form."""
        scaled = self.node("Mul", states, self.number("inverse_sqrt_2", 1 / np.sqrt(2)), out=f"{name}.gelu_scaled")
        erf = self.node("Erf", scaled, out=f"{name}.gelu_erf")
        shifted = self.node("Add", erf, self.number("one", 1.0), out=f"{name}.gelu_shifted")
        product = self.node("Mul", states, shifted, out=f"{name}.gelu_product")
        return self.node("Mul", product, self.number("half", 0.5), out=f"{name}.gelu")

    def pool(self, states: str, mask: str) -> str:
        """Mean over the unmasked tokens, scaled to unit length."""
        sequence = self.integer("sequence_axis", [1])
        column = self.node("Unsqueeze", mask, self.integer("last_axis", [2]), out="mask_column")
        kept = self.node("Mul", states, column, out="kept")
        total = self.node("ReduceSum", kept, sequence, keepdims=0, out="total")
        count = self.node("ReduceSum", mask, sequence, keepdims=1, out="count")
        mean = self.node("Div", total, count, out="mean")
        norm = self.node("ReduceL2", mean, sequence, keepdims=1, out="norm")
        return self.node("Div", mean, norm, out="embedding")

    # -- layers ----------------------------------------------------------------------------------------------------

    def linear(self, states: str, name: str) -> str:
        """x W^T + b; the file stores W as (output, input)."""
        turned = self.node("Transpose", self.weight(f"{name}.weight"), perm=[1, 0], out=f"{name}.turned")
        product = self.node("MatMul", states, turned, out=f"{name}.product")
        return self.node("Add", product, self.weight(f"{name}.bias"), out=f"{name}.result")

    def add_and_normalise(self, states: str, residual: str, name: str) -> str:
        projected = self.linear(states, f"{name}.dense")
        added = self.node("Add", projected, residual, out=f"{name}.added")
        return self.layer_norm(added, f"{name}.LayerNorm")

    def layer_norm(self, states: str, name: str) -> str:
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node(
            "LayerNormalization", states, scale, shift, axis=-1, epsilon=self.epsilon, out=f"{name}.result"
        )

    # -- parts of the file -----------------------------------------------------------------------------------------

    def node(self, operator: str, *inputs: str, out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def number(self, name: str, value: float) -> str:
        self.initializers[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name

    def integer(self, name: str, value: int | list[int]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.array(value, np.int64), name)
        return name

    def weight(self, name: str) -> str:
        """Refer to a tensor of the safetensors file by its place there."""
        entry = self.tensors[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is stored as {entry['dtype']}; only F32 is supported.")
        start, end = entry["data_offsets"]
        tensor = TensorProto(
            name=name,
            data_type=TensorProto.FLOAT,
            dims=entry["shape"],
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": WEIGHTS_FILE, "offset": self.data_start + start, "length": end - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self.initializers[name] = tensor
        return name

    def model_bytes(self) -> bytes:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", self.hidden])
        graph = helper.make_graph(self.nodes, "minilm", inputs, [output], list(self.initializers.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


if __name__ == "__main__":
    model_folder, output_file = sys.argv[1:]
    Path(output_file).write_bytes(build_graph(Path(model_folder)))
