// See Perturbations.h.
#include "test/random/Perturbations.h"

#include "test/random/Spec.h"

#include <string_view>

namespace transom::random {

namespace {

constexpr unsigned all = 7, decoders = 1 << decoder, encoders = 1 << encoder, crossed = 1 << crossAttention;

const Perturbation table[] = {
    {"none", "", all},
    // Caches.
    {"past read elsewhere", "make-kv-static", decoders, Site::past, Mutation::reader},
    {"past is a result too", "make-kv-static", decoders, Site::past, Mutation::output},
    {"present read elsewhere", "make-kv-static", decoders, Site::concat, Mutation::reader},
    {"present returned twice", "make-kv-static", decoders},
    {"present in another order is a result", "make-kv-static", decoders, Site::concat, Mutation::transposedOutput},
    {"two layers extend one past", "make-kv-static", decoders},
    {"past cast on its way", "make-kv-static", decoders},
    {"new tokens before the past", "make-kv-static", decoders},
    {"not causal", "make-kv-static", decoders},
    {"attention bias", "make-kv-static", all},
    {"computed mask", "make-kv-static", all},
    {"mask read elsewhere", "make-kv-static", all, Site::mask, Mutation::reader},
    {"tokens mixed in a decoder", "make-kv-static", decoders, Site::trunk, Mutation::mixTokens},
    {"two results besides the caches", "make-kv-static", decoders, Site::trunk, Mutation::output},
    {"present scaled", "make-kv-static", decoders, Site::concat, Mutation::column},
    // Layouts.
    {"transposes around an op", "eliminate-transposes", all, Site::trunk, Mutation::swapTwice},
    {"transposes in attention", "eliminate-transposes", all, Site::attention, Mutation::swapTwice},
    {"transposed result", "eliminate-transposes", all, Site::trunk, Mutation::transposedOutput},
    {"transposed attention as a result", "eliminate-transposes", all, Site::attention, Mutation::transposedOutput},
    {"transpose with another reader", "eliminate-transposes", all, Site::transpose, Mutation::reader},
    {"transpose as a result", "eliminate-transposes", all, Site::transpose, Mutation::output},
    {"reshape that mixes dimensions", "assign-layouts", all, Site::trunk, Mutation::reshapeTwice},
    {"reshape with another reader", "assign-layouts", all, Site::reshape, Mutation::reader},
    {"heads padded and cut", "assign-layouts", all, Site::attention, Mutation::padSlice},
    // Padding.
    {"tokens mixed", "remove-padding", encoders | crossed, Site::trunk, Mutation::mixTokens},
    {"rows of the batch mixed", "remove-padding", all, Site::trunk, Mutation::mixBatch},
    {"places added late", "remove-padding", all, Site::trunk, Mutation::positions},
    {"tokens read at the end of attention", "remove-padding", encoders, Site::attention, Mutation::mixTokens},
    {"padded result of attention", "remove-padding", encoders, Site::attention, Mutation::output},
    {"padded vectors are a result", "remove-padding", encoders, Site::trunk, Mutation::output},
    // Projections.
    {"query of another value", "merge-projections", all},
    {"bias on one projection", "merge-projections", all},
    {"bias of another shape", "merge-projections", all},
    {"gate and up of different values", "merge-projections", all},
    {"projection with another reader", "merge-projections", all, Site::matmul, Mutation::reader},
    {"projection cast", "merge-projections", all, Site::matmul, Mutation::cast},
    {"weight read elsewhere", "merge-projections", all, Site::weight, Mutation::reader},
    // Norms.
    {"norm with another reader", "fuse-norm", all, Site::norm, Mutation::reader},
    {"norm is a result", "fuse-norm", all, Site::norm, Mutation::output},
    {"residual with another reader", "fuse-norm", all, Site::normInput, Mutation::reader},
    {"residual is a result", "fuse-norm", all, Site::normInput, Mutation::output},
    {"residual cast", "fuse-norm", all, Site::normInput, Mutation::cast},
    {"residual scaled by row", "fuse-norm", all, Site::normInput, Mutation::column},
    {"norm plus a vector", "fuse-norm", all, Site::norm, Mutation::vector},
    {"one reader of a norm negates it", "fuse-norm", all, Site::norm, Mutation::someReaders},
    // Elementwise ops.
    {"elementwise with another reader", "fuse-elementwise", all, Site::elementwise, Mutation::reader},
    {"elementwise is a result", "fuse-elementwise", all, Site::elementwise, Mutation::output},
    {"elementwise times a column", "fuse-elementwise", all, Site::elementwise, Mutation::column},
    {"elementwise plus a vector", "fuse-elementwise", all, Site::elementwise, Mutation::vector},
    {"elementwise cast", "fuse-elementwise", all, Site::elementwise, Mutation::cast},
    {"one reader of an elementwise op negates it", "fuse-elementwise", all, Site::elementwise, Mutation::someReaders},
    // Epilogues.
    {"product with another reader", "fuse-epilogue", all, Site::matmul, Mutation::reader},
    {"product is a result", "fuse-epilogue", all, Site::matmul, Mutation::output},
    {"product times a column", "fuse-epilogue", all, Site::matmul, Mutation::column},
    {"product padded and cut", "fuse-epilogue", all, Site::matmul, Mutation::padSlice},
    {"product turned over", "fuse-epilogue", all, Site::matmul, Mutation::halves},
    {"rotated heads read elsewhere", "fuse-epilogue", all, Site::rotary, Mutation::reader},
    {"rotated heads are a result", "fuse-epilogue", all, Site::rotary, Mutation::output},
    {"rotated heads scaled", "fuse-epilogue", all, Site::rotary, Mutation::column},
    {"slice with another reader", "fuse-epilogue", all, Site::slice, Mutation::reader},
    // Constants.
    {"a constant too large to store", "fold-constants", all, Site::trunk, Mutation::huge},
    {"what folds", "", all, Site::trunk, Mutation::foldable},
    {"embedding with another reader", "", all, Site::embedding, Mutation::reader},
    {"attention with another reader", "", all, Site::attention, Mutation::reader},
    {"attention turned over", "", all, Site::attention, Mutation::halves},
    {"odd head_dim", "", all},
    {"prime sizes", "", all},
    {"sizes of one", "", all},
};

} // namespace

std::span<const Perturbation> perturbations() { return table; }

int drawPerturbation(Spec &spec, Random &random) {
  int index;
  do
    index = int(random.range(1, int64_t(std::size(table)) - 1));
  while (!(table[index].families & (1u << spec.family)));
  const Perturbation &chosen = table[index];
  std::string_view name = chosen.name, pass = chosen.pass;
  if (spec.family == decoder && (pass == "make-kv-static" || chosen.site == Site::past || chosen.site == Site::concat))
    spec.cached = 1;
  if (name.find("mask") != name.npos)
    spec.mask = 1;
  if (name == "two layers extend one past")
    spec.layers = 2, spec.sharedCache = 0;
  if (name == "query of another value" || name == "bias on one projection" || name == "bias of another shape")
    spec.merged = 0;
  if (name == "gate and up of different values")
    spec.gated = 1, spec.mergedGate = 0;
  if (chosen.site == Site::rotary)
    spec.rotary = 1;
  if (chosen.site == Site::slice)
    spec.merged = 1;
  if (name == "odd head_dim" && spec.weightSource != blocks)
    spec.headDim = random.pick({1, 3, 5, 7}), spec.rotary = 0;
  if (name == "prime sizes" && spec.weightSource != blocks)
    spec.hidden = random.pick({7, 11, 13}), spec.feedForward = random.pick({5, 17, 23}), spec.headDim = random.pick({3, 5}), spec.rotary = 0;
  if (name == "sizes of one" && spec.weightSource != blocks)
    spec.hidden = spec.heads = spec.kvHeads = 1, spec.headDim = 2, spec.feedForward = 1, spec.batchMax = 1, spec.seqMax = int(random.range(1, 2));
  repair(spec);
  return index;
}

} // namespace transom::random
