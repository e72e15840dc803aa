// Element types of the dialect as the artifact's element types, and the bytes of static tensors.
#pragma once

#include "ir/Transom.h"
#include "runtime/format/DType.h"

namespace transom {

/// The stored form of an element type; i1 is one byte. `element` is one that isElement() accepts.
inline DType storedType(mlir::Type element) {
  using namespace mlir;
  if (auto block = dyn_cast<BlockType>(element)) {
    constexpr DType formats[] = {DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0,
                                 DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k};
    return formats[static_cast<int>(block.getFormat())];
  }
  if (auto integer = dyn_cast<IntegerType>(element))
    switch (integer.getWidth()) {
    case 1: return DType::boolean;
    case 8: return DType::i8;
    case 16: return DType::i16;
    case 32: return DType::i32;
    default: return DType::i64;
    }
  if (isa<Float16Type>(element))
    return DType::f16;
  if (isa<BFloat16Type>(element))
    return DType::bf16;
  if (isa<Float8E4M3FNType>(element))
    return DType::f8e4m3;
  return isa<Float64Type>(element) ? DType::f64 : DType::f32;
}

/// Bytes of a tensor type; invalid for dynamic shapes and on overflow.
inline CheckedSize bytesOf(mlir::RankedTensorType type) {
  return bytesFor(storedType(type.getElementType()), {type.getShape().data(), type.getShape().size()});
}

} // namespace transom
