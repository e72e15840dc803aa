// See DeviceChoice.h.
#include "runtime/DeviceChoice.h"

#include "runtime/cuda/Device.h"

#include <charconv>

namespace transom {

Result<DeviceChoice> DeviceChoice::parse(std::string_view text) {
  constexpr std::string_view prefix = "cuda:";
  if (text == "auto")
    return DeviceChoice();
  if (text == "cpu")
    return cpu();
  if (text == "cuda")
    return cuda();
  if (text.starts_with(prefix)) {
    std::string_view number = text.substr(prefix.size());
    int ordinal = 0;
    auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), ordinal);
    if (failed == std::errc() && end == number.data() + number.size() && ordinal >= 0)
      return cuda(ordinal);
  }
  return error(StatusCode::invalidArgument, "device: expected auto, cpu, cuda or cuda:N, found \"{}\"", text);
}

std::string DeviceChoice::toString() const {
  return kind == Kind::automatic ? "auto" : kind == Kind::cpu ? "cpu" : fmt::format("cuda:{}", ordinal);
}

namespace {

/// "programs for the CPU", "programs for the CPU and CUDA".
std::string describe(const artifact::Contents &contents) {
  std::vector<std::string_view> parts;
  if (contents.runsOn(artifact::Device::cpu))
    parts.push_back("the CPU");
  if (contents.runsOn(artifact::Device::cuda))
    parts.push_back("CUDA");
  return fmt::format("programs for {}", fmt::join(parts, " and "));
}

} // namespace

Result<DeviceChoice> resolveDevice(const artifact::Contents &contents, DeviceChoice wanted) {
  bool onCpu = contents.runsOn(artifact::Device::cpu), onCuda = contents.runsOn(artifact::Device::cuda);
  if (wanted.kind != DeviceChoice::Kind::automatic) {
    bool there = wanted.kind == DeviceChoice::Kind::cpu ? onCpu : onCuda;
    if (!there)
      return error(StatusCode::unsupported, "device {}: the artifact has {} only; compile it with --target={}", wanted.toString(),
                   describe(contents), wanted.kind == DeviceChoice::Kind::cpu ? "cpu" : "cuda:sm_...");
    return wanted;
  }
  if (!onCuda)
    return DeviceChoice::cpu();
  Result<int> devices = CudaDevice::count();
  if (devices.ok() && *devices > 0)
    return DeviceChoice::cuda(0);
  if (onCpu)
    return DeviceChoice::cpu();
  return error(StatusCode::unsupported, "the artifact has {} only, and this machine cannot run them: {}", describe(contents),
               devices.ok() ? "the NVIDIA driver sees no GPU" : devices.status().message());
}

} // namespace transom
