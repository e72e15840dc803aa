// Deterministic mutations of valid files for readers that must survive any bytes: truncations and byte flips.
// What a reader does wrong shows as a crash or a sanitizer report; nothing is judged here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <vector>

namespace transom::fuzz {

using Bytes = std::vector<std::byte>;

/// How many truncations and how many flips: TRANSOM_FUZZ_COUNT, or `fallback`.
inline size_t mutationCount(size_t fallback = 200) {
  const char *text = std::getenv("TRANSOM_FUZZ_COUNT");
  return text ? std::strtoull(text, nullptr, 10) : fallback;
}

/// Calls `read` with mutationCount() truncations of `seed` (every length first, if there are few), then with
/// as many copies that have one to four bytes changed. Each copy is of its exact size, so that reads past the
/// end are caught. `headBytes`, where not 0, keeps most mutations inside the first bytes, where the structure
/// is.
template <typename Read> void forEachMutation(const Bytes &seed, size_t headBytes, Read read) {
  std::mt19937_64 random(20240611);
  size_t count = mutationCount(), head = headBytes ? std::min(headBytes, seed.size()) : seed.size();
  for (size_t i = 0; i < count; ++i) {
    size_t length = head <= count && i < head ? i : random() % (i % 4 ? head : seed.size());
    read(Bytes(seed.begin(), seed.begin() + static_cast<ptrdiff_t>(length)));
  }
  constexpr std::byte interesting[] = {std::byte{0}, std::byte{1}, std::byte{0x7f}, std::byte{0x80},
                                       std::byte{0xff}};
  for (size_t i = 0; i < count; ++i) {
    Bytes copy = seed;
    for (size_t flips = 1 + random() % 4; flips > 0; --flips) {
      std::byte &at = copy[random() % (i % 4 ? head : seed.size())];
      uint64_t choice = random();
      at = choice % 3 == 0   ? interesting[choice / 3 % std::size(interesting)]
           : choice % 3 == 1 ? at ^ std::byte(1 << choice / 3 % 8)
                             : std::byte(choice >> 32 & 255);
    }
    read(copy);
  }
}

} // namespace transom::fuzz
