// See GemvShape.h.
#include "codegen/cuda/GemvShape.h"

namespace transom::cuda {

int64_t GemvShape::turns() const { return (inner + int64_t(warps) * stepK - 1) / (int64_t(warps) * stepK); }

/// What does not lie in x: sums of each warp, norms.
static int64_t fixedBytes(const GemvShape &shape, int buffers) {
  return buffers * shape.warps * int64_t(shape.rows) * shape.splits * 16 * 4 + (int64_t(shape.warps) + 1) * shape.rows * 4 + 64 * 4;
}
static int64_t stagedBytes(const GemvShape &shape, int64_t k) {
  int64_t columns = int64_t(shape.rows) * shape.splits;
  return k * columns * 2 + (shape.minima ? k / 32 * columns * 4 : 0);
}

uint32_t GemvShape::streamBytes() const { return uint32_t(stagedBytes(*this, turns() * warps * stepK) + fixedBytes(*this, 2)); }

uint32_t GemvShape::sharedBytes() const {
  int64_t columns = int64_t(rows) * splits, roundK = int64_t(warps) * stepK, columnBytes = columns * 2 + (minima ? columns / 8 : 0);
  int64_t fit = staged / (roundK * columnBytes), atOnce = fit > depth ? fit / depth * depth : depth;
  return uint32_t(stagedBytes(*this, std::min(atOnce, turns()) * roundK) + fixedBytes(*this, 1));
}

std::string GemvShape::text(llvm::StringRef pairs) const {
  std::string text = "GemvShape<" + format;
  for (int64_t number : {outputs, int64_t(rows), int64_t(splits), int64_t(warps), int64_t(depth)})
    text += ", " + std::to_string(number);
  return text + ", " + pairs.str() + (staged == wholeStaged ? ">" : ", 0, " + std::to_string(staged) + ">");
}

void GemvShape::tune(bool plain) {
  int64_t steps = (inner + stepK - 1) / stepK, blocks = (outputs + 15) / 16;
  if (!plain) {
    warps = blocks > 1024 ? 4 : 8, depth = 4;
  } else if (blocks > 2048) {
    warps = 8, depth = steps >= 64 ? 8 : int(std::clamp<int64_t>((steps + 7) / 8, 1, 8));
  } else if (steps <= 32) {
    warps = 8, depth = int(std::clamp<int64_t>((steps + 7) / 8, 1, 4));
  } else if (steps <= 64) {
    warps = 16, depth = blocks > 512 ? 2 : 4;
  } else if (steps <= 96) {
    warps = 16, depth = 6;
  } else {
    warps = steps == 256 ? 8 : 16, depth = steps == 256 ? 12 : 4;
  }
  warps = std::max(warps, (rows + 1) / 2);
  if (rows > 4)
    depth = std::min(depth, 4);
}

int64_t GemvShape::stay(bool plain, int64_t tiles) {
  constexpr int64_t held = 264; // two on each multiprocessor of an H100
  bool several = rows >= 4 && tiles > held, huge = rows == 1 && plain && tiles > 6000;
  if (!several && !huge)
    return 0;
  GemvShape own = *this;
  own.warps = std::max(8, (rows + 1) / 2);
  for (int each : {8, 4, 2}) {
    own.depth = each;
    if ((several && each > 4) || own.turns() % each != 0 || own.streamBytes() > 99 * 1024)
      continue;
    *this = own;
    return std::min(tiles, held);
  }
  return 0;
}

void GemvShape::shrink(uint32_t most) {
  for (staged = 32 * 1024; sharedBytes() > most && depth > 1;)
    depth /= 2;
  assert(sharedBytes() <= most && "16 columns of one round take less");
}

} // namespace transom::cuda
