// Which device a session runs on: what a user asks for, as text and as a value.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/Status.h"

namespace transom {

struct DeviceChoice {
  enum class Kind : uint8_t {
    automatic, ///< CUDA where the artifact has programs for it and the machine a device, else the CPU
    cpu,
    cuda,
  };
  Kind kind = Kind::automatic;
  int ordinal = 0; ///< of a CUDA device, as the driver counts them

  static DeviceChoice cpu() { return {Kind::cpu, 0}; }
  static DeviceChoice cuda(int ordinal = 0) { return {Kind::cuda, ordinal}; }
  /// "auto", "cpu", "cuda" (the first) or "cuda:1". Error: invalidArgument, listing these.
  static Result<DeviceChoice> parse(std::string_view text);
  /// What parse() takes.
  std::string toString() const;
  bool operator==(const DeviceChoice &) const = default;
};

/// The device that a session of the artifact gets: never automatic. Looks for a driver only where the choice and the artifact
/// leave CUDA open. Error: unsupported, naming what the artifact has and what the machine has.
Result<DeviceChoice> resolveDevice(const artifact::Contents &contents, DeviceChoice wanted);

} // namespace transom
