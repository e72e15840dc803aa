// The bytes of an artifact's weights: copied from the source file, from constants, or made by recipes.
#pragma once

#include "compiler/import/files/TensorSource.h"
#include "ir/Plan.h"
#include "runtime/format/ArtifactWriter.h"

namespace transom {

/// Writes the bytes of `weight` into the sink, in pieces. Steps that only move elements keep their bytes, quantised rows
/// included; casts between floats go through in pieces; a recipe with any other step is evaluated by the reference
/// interpreter in fp32. Memory: what the steps of one recipe hold, of which the stored tensors are mapped, not read.
/// Errors: notFound and invalidFile where the source has no such tensor; unsupported for recipes that compute quantised
/// blocks; what the sink says.
Status writeWeight(plan::WeightOp weight, const TensorSource &source, const artifact::ByteSink &sink);

} // namespace transom
