"""ONNX files in the wire format of protobuf, as far as they are written here: fields one after the other."""
import ctypes as C
import struct

import torch
from torch import nn

TYPES = {torch.float32: 1, torch.uint8: 2, torch.int8: 3, torch.int16: 5, torch.int32: 6, torch.int64: 7, torch.bool: 9,
         torch.float16: 10, torch.float64: 11, torch.complex64: 14, torch.complex128: 15, torch.bfloat16: 16}


def _varint(value):
    made = bytearray()
    value &= 2**64 - 1
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _int(field, value):
    return _varint(field << 3) + _varint(value)


def _text(field, content):
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _attribute(name, value):
    """AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20."""
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + struct.pack('<f', value) + _int(20, 1)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _int(20, 3)
    if isinstance(value, int):
        return _text(1, name) + _int(3, value) + _int(20, 2)
    return _text(1, name) + b''.join(_int(8, v) for v in value) + _int(20, 7)


def node(operator, inputs, outputs, attributes):
    """A NodeProto: input 1, output 2, name 3, op_type 4, attribute 5."""
    return (b''.join(_text(1, name) for name in inputs) + b''.join(_text(2, name) for name in outputs) + _text(3, outputs[0])
            + _text(4, operator) + b''.join(_text(5, _attribute(*a)) for a in attributes.items()))


def initializer(name, tensor):
    """A TensorProto: dims 1, data_type 2, name 8, raw_data 9. Of a parameter, only the shape is needed."""
    made = b''.join(_int(1, length) for length in tensor.shape) + _int(2, TYPES[tensor.dtype]) + _text(8, name)
    if not isinstance(tensor, nn.Parameter):
        data = tensor.detach().to('cpu').contiguous()
        made += _text(9, C.string_at(data.data_ptr(), data.numel() * data.element_size()) if data.numel() else b'')
    return made


def _value(name, tensor):
    """A ValueInfoProto: name 1, type 2; in it tensor_type 1 with elem_type 1 and shape 2, whose dims 1 have a dim_value 1."""
    shape = b''.join(_text(1, _int(1, length)) for length in tensor.shape)
    return _text(1, name) + _text(2, _text(1, _int(1, TYPES[tensor.dtype]) + _text(2, shape)))


def _initializers(tensors):
    return b''.join(_text(5, initializer(*t)) for t in tensors.items())


def _read(data, at):
    """(a number, where it ends)"""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def with_initializers(data, tensors):
    """The file `data` with {name: tensor} besides; an input of that name has this default value. ModelProto: graph 7."""
    at = 0
    while at < len(data):
        begin = at
        key, at = _read(data, at)
        number, content = _read(data, at)
        end = content + number if key & 7 == 2 else content
        if key == (7 << 3 | 2):
            return data[:begin] + _text(7, data[content:end] + _initializers(tensors)) + data[end:]
        at = end
    raise ValueError('a file without a graph')


def model(nodes, tensors, inputs, outputs, opset, values):
    """A file of nodes, and of {name: tensor} each. ModelProto: ir_version 1, graph 7, opset_import 8; OperatorSetIdProto: domain 1,
    version 2; GraphProto: node 1, name 2, initializer 5, input 11, output 12, value_info 13."""
    graph = (b''.join(_text(1, n) for n in nodes) + _text(2, 'net') + _initializers(tensors)
             + b''.join(_text(11, _value(*v)) for v in inputs.items()) + b''.join(_text(12, _value(*v)) for v in outputs.items())
             + b''.join(_text(13, _value(*v)) for v in values.items()))
    return _int(1, 10) + _text(7, graph) + _text(8, _text(1, '') + _int(2, opset))
