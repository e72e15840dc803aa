// Weights in the forms that CUDA kernels read: converted numbers, planes of quantised blocks.
#pragma once

#include "codegen/cuda/CudaCodegen.h"
#include "compiler/WeightRecipe.h"

namespace transom {

/// Writes the bytes of `form`, made of the plan's weight `weight`. Memory: a piece, or for planes the weight's bytes.
/// Errors: writeWeight's; unsupported where numbers cannot be converted.
Status writeCudaWeight(const CudaWeight &form, plan::WeightOp weight, const TensorSource &source, const artifact::ByteSink &sink);

} // namespace transom
