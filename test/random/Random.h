// Random numbers that are the same on every machine: the standard library's distributions are not.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace transom::random {

/// SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  /// A stream of its own for each name, so that what one part draws does not move what another draws.
  Random(uint64_t seed, std::string_view name) : state(seed) {
    for (char c : name)
      state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
    next();
  }
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t count) { return static_cast<int64_t>(next() % static_cast<uint64_t>(count)); }
  int64_t range(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool percent(int64_t chance) { return below(100) < chance; }
  template <typename T> T pick(std::initializer_list<T> list) { return list.begin()[below(static_cast<int64_t>(list.size()))]; }
  /// In [-1, 1], with so few bits that bf16 holds it.
  double small() { return static_cast<double>(range(-64, 64)) / 64; }

private:
  uint64_t state;
};

} // namespace transom::random
