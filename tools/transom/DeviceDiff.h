// One program on two devices, compared tensor by tensor. The plans for two devices come from one graph but are lowered apart, so
// tensors are matched by the sources of the steps that write them. Caches are not looked at: what is read from them shows.
#pragma once

#include "runtime/Session.h"

namespace transom::cli {

/// What one step has written.
struct Observed {
  std::string source; ///< the step's; of an output its name
  DType dtype = DType::f32;
  std::vector<int64_t> shape; ///< live
  std::vector<std::byte> bytes;
};

/// A run step by step.
struct ObservedRun {
  std::vector<Observed> steps;   ///< in order; without outputs
  std::vector<Observed> outputs; ///< in the program's order
};
/// Errors: Session::observe's.
Result<ObservedRun> observeRun(Session &session, size_t program, std::span<const TensorView> inputs);

/// How far a tensor is from its reference. Equal infinities are equal; NaN on either side is a difference.
struct TensorError {
  double relative = 0; ///< ||a - b|| / ||a||; infinite where a is zero and b is not, or one side alone is infinite
  double largest = 0;  ///< of |a - b|
  bool nan = false;
};
/// Both of equally many elements, and no block formats.
TensorError errorBetween(const Observed &reference, const Observed &found);

/// A pair of tensors.
struct TensorDiff {
  const Observed *reference = nullptr, *found = nullptr;
  TensorError error;
  bool differs = false; ///< floating-point numbers by more than the tolerance, others at all
};

struct RunDiff {
  std::vector<TensorDiff> tensors; ///< in the reference's order, outputs last; they point into both runs
  size_t skipped = 0;              ///< tensors of either run that have no partner
};
/// Tensors of steps with equal sources are paired in order, as many as can be: of equally many elements, numbers with numbers of their
/// kind. Where one run has more of them, those that are nearest are paired. Outputs are paired by name, and differ where their sizes do.
RunDiff compareRuns(const ObservedRun &reference, const ObservedRun &found, double tolerance);

/// The narrowest type of floating-point numbers that a program keeps its values in.
DType narrowestOf(const artifact::Program &program);
/// What is usual for values of that type: f32 1e-4, f16 1e-2, bf16 5e-2.
double usualTolerance(DType dtype);

} // namespace transom::cli
