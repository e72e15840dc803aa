// Token selection as runtime/format/Sampling.h defines it: temperature, top-k with ties, top-p, one draw from Philox4x32-10,
// the kept tokens in the order of their ids; greedy where temperature is 0 or top-k 1; -1 where a logit is NaN or positive
// infinity or all are negative infinity.
//
// A row is shared by a cluster of blocks (sm_90; one block elsewhere). Nothing is sorted: cuts are found by histograms over
// the bits of the logits, 11 at a time. A token weighs exp((x - largest) / temperature) in units of 2^-44, a whole number, so
// that sums do not depend on the order in which threads add: the same seed gives the same token each time.
#pragma once

#include "Epilogues.cuh"

namespace transom::cuda {

struct SampleArguments {
  const float *logits;       // [batch, vocab]
  const uint64 *best;        // [batch]: the rows' largest (LogitsEpilogue); null: found here
  const float *temperature;  // [batch]; 0: the largest
  const float *topP;         // [batch]; 1: all
  const int *topK;           // [batch]; 0: all, 1: the largest
  const int64 *seed;         // [batch]
  const int64 *row;          // [batch]: which stream of random numbers
  const int64 *tokenIndex;   // [batch]: which number of the stream
  const int *lengths;        // [batch]: rows of length 0 stay as they are; null: no such rows
  int *token;                // [batch]
  int vocab;                 // at most 2^19
};

//===-- Random numbers and weights ----------------------------------------------------------------------------------===//

/// The 53 bits of sampling::uniform: that number times 2^53.
DEVICE uint64 uniformBits(uint64 seed, uint64 step, uint64 stream) {
  uint32 c0 = (uint32)step, c1 = (uint32)(step >> 32), c2 = (uint32)stream, c3 = (uint32)(stream >> 32);
  uint32 key0 = (uint32)seed, key1 = (uint32)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64 a = (uint64)c0 * 0xd2511f53u, b = (uint64)c2 * 0xcd9e8d57u;
    c0 = (uint32)(b >> 32) ^ c1 ^ key0, c1 = (uint32)b;
    c2 = (uint32)(a >> 32) ^ c3 ^ key1, c3 = (uint32)a;
    key0 += 0x9e3779b9u, key1 += 0xbb67ae85u;
  }
  return ((uint64)c0 << 32 | c1) >> 11;
}
/// sampling::expOf.
DEVICE double expOf(double x) {
  constexpr double inverse[] = {0, 1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11};
  if (!(x > -45))
    return 0;
  int64 n = (int64)(x * 1.4426950408889634 - 0.5);
  double r = x - (double)n * 0.6931471805599453, sum = 1;
  UNROLL
  for (int i = 11; i > 0; --i)
    sum = 1 + sum * (r * inverse[i]);
  return sum * __longlong_as_double((n + 1023) << 52);
}
/// The upper 64 bits of a product.
DEVICE uint64 highProduct(uint64 a, uint64 b) {
  uint64 a0 = (uint32)a, a1 = a >> 32, b0 = (uint32)b, b1 = b >> 32;
  uint64 middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32)middle;
  return a1 * b1 + (middle >> 32) + (other >> 32);
}

//===-- Clusters ----------------------------------------------------------------------------------------------------===//

template <int size> DEVICE void syncCluster() {
#if __CUDA_ARCH__ >= 900
  if constexpr (size > 1) {
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
    return;
  }
#endif
  __syncthreads();
}
/// A number at `p` of block `rank` of the cluster.
template <int size, class T> DEVICE T readCluster(const T *p, int rank) {
#if __CUDA_ARCH__ >= 900
  if constexpr (size > 1) {
    uint32 address = (uint32)__cvta_generic_to_shared(p), there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    if constexpr (sizeof(T) == 8) {
      uint64 v;
      asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(v) : "r"(there) : "memory");
      return (T)v;
    } else {
      uint32 v;
      asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(there) : "memory");
      return (T)v;
    }
  }
#endif
  return *p;
}

//===-- One row -----------------------------------------------------------------------------------------------------===//

/// Tokens whose key is above `key` are kept, and the first `ties` whose key it is.
struct Cut {
  uint32 key;
  uint64 ties;
};

/// A bucket of a histogram while it is filled: what its tokens weigh (or how many they are, in the first), as sums of the weights'
/// 12-bit parts, since shared memory adds 32 bits at once but not 64. 2^19 tokens do not overflow.
union Bucket {
  uint32 parts[4];
  struct { uint64 own, all; } sums; // a block's, the cluster's
};
struct SampleShared {
  static constexpr int bits = 11, buckets = 1 << bits;
  Bucket histogram[buckets];
  uint64 ofWarp[32], ofBlock, above;
  uint32 found;
};

/// One row, seen by one block of the cluster: elements [begin, end) are its own.
template <int cluster> struct Distribution {
  static constexpr int threads = 1024;
  SampleShared &shared;
  const float *x;
  int begin, end;
  float largest, temperature;

  DEVICE uint64 weight(float v) const {
    const double x = ((double)v - (double)largest) / (double)temperature;
    return x > -32.0 ? (uint64)(expOf(x) * 17592186044416.0 + 0.5) : 0; // 2^44; exp(-32) rounds to zero
  }
  DEVICE float valueOf(uint32 key) const { return __uint_as_float(key >> 31 ? key ^ 0x80000000u : ~key); }

  /// The sum over the cluster's threads before this one, in the order of their tokens; `total` is the sum of all.
  DEVICE uint64 scan(uint64 own, uint64 &total) {
    const uint64 sum = sumUpTo(own);
    __syncthreads();
    if (laneId() == 31)
      shared.ofWarp[warpId()] = sum;
    __syncthreads();
    uint64 before = sum - own, block = 0;
    for (int w = 0; w < threads / 32; ++w) {
      before += w < warpId() ? shared.ofWarp[w] : 0;
      block += shared.ofWarp[w];
    }
    if (threadIdx.x == 0)
      shared.ofBlock = block;
    syncCluster<cluster>();
    total = 0;
    for (int rank = 0; rank < cluster; ++rank) {
      uint64 other = readCluster<cluster>(&shared.ofBlock, rank);
      before += rank < (int)(blockIdx.x % cluster) ? other : 0;
      total += other;
    }
    syncCluster<cluster>(); // nobody leaves or goes on while others read
    return before;
  }

  /// The largest key of argmaxKey over the cluster.
  DEVICE uint64 findBest() {
    uint64 best = 0;
    for (int i = begin + threadIdx.x; i < end; i += threads) {
      uint64 key = argmaxKey(x[i], i);
      best = key > best ? key : best;
    }
    UNROLL
    for (int apart = 16; apart > 0; apart >>= 1) {
      uint64 other = __shfl_xor_sync(~0u, best, apart);
      best = other > best ? other : best;
    }
    if (laneId() == 0)
      shared.ofWarp[warpId()] = best;
    __syncthreads();
    for (int w = 0; w < threads / 32; ++w)
      best = shared.ofWarp[w] > best ? shared.ofWarp[w] : best;
    if (threadIdx.x == 0)
      shared.ofBlock = best;
    syncCluster<cluster>();
    for (int rank = 0; rank < cluster; ++rank) {
      uint64 other = readCluster<cluster>(&shared.ofBlock, rank);
      best = other > best ? other : best;
    }
    syncCluster<cluster>();
    return best;
  }

  /// The cluster's histogram of bits [shift, shift + 11) of the keys from `lowest` on that agree with `key` from bit `known` on: how
  /// many tokens, or what they weigh.
  template <bool weighed> DEVICE void histogram(uint32 key, int known, int shift, uint32 lowest) {
    constexpr uint32 mask = SampleShared::buckets - 1;
    for (int i = threadIdx.x; i < SampleShared::buckets; i += threads)
      shared.histogram[i].sums = {0, 0};
    __syncthreads();
    for (int i = begin + threadIdx.x; i < end; i += threads) {
      const float v = x[i];
      const uint32 k = orderKey(v);
      if (k < lowest || (known < 32 && (k ^ key) >> known != 0))
        continue;
      uint32 *parts = shared.histogram[k >> shift & mask].parts;
      if constexpr (weighed) {
        const uint64 w = weight(v);
        UNROLL
        for (int part = 0; part < 4; ++part)
          if (uint32 some = (uint32)(w >> 12 * part) & 4095)
            atomicAdd(parts + part, some);
      } else {
        atomicAdd(parts, 1u);
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < SampleShared::buckets; i += threads) {
      uint64 sum = 0;
      UNROLL
      for (int part = 3; part >= 0; --part)
        sum = (sum << 12) + shared.histogram[i].parts[part];
      shared.histogram[i].sums.own = sum;
    }
    syncCluster<cluster>();
    for (int i = threadIdx.x; i < SampleShared::buckets; i += threads) {
      uint64 sum = 0;
      for (int rank = 0; rank < cluster; ++rank)
        sum += readCluster<cluster>(&shared.histogram[i].sums.own, rank);
      shared.histogram[i].sums.all = sum;
    }
    syncCluster<cluster>();
  }

  /// The highest bucket with which the sum from the top on reaches `limit`, else the lowest that is not empty. Takes what
  /// lies above it off the limit.
  DEVICE uint32 descend(uint64 &limit) {
    constexpr int each = SampleShared::buckets / threads, last = SampleShared::buckets - 1;
    const int first = (int)threadIdx.x * each; // places from the top
    uint64 own[each], sum = 0;
    UNROLL
    for (int i = 0; i < each; ++i)
      sum += own[i] = shared.histogram[last - first - i].sums.all;
    uint64 before = sumUpTo(sum);
    if (laneId() == 31)
      shared.ofWarp[warpId()] = before;
    if (threadIdx.x == 0)
      shared.found = ~0u;
    __syncthreads();
    before -= sum;
    for (int w = 0; w < warpId(); ++w)
      before += shared.ofWarp[w];
    uint64 reached = before;
    UNROLL
    for (int i = 0; i < each; ++i) {
      reached += own[i];
      if (own[i] != 0) // those that reach the limit sort first, from the top down; the others from the bottom up
        atomicMin(&shared.found, (uint32)(reached >= limit ? first + i : 2 * SampleShared::buckets - (first + i)));
    }
    __syncthreads();
    const int found = (int)shared.found, place = found > last ? 2 * SampleShared::buckets - found : found;
    UNROLL
    for (int i = 0; i < each; ++i) {
      if (first + i == place)
        shared.above = before;
      before += own[i];
    }
    __syncthreads();
    limit -= shared.above;
    __syncthreads();
    return last - place;
  }

  /// The key at which the sum over tokens by falling key, from `lowest` on, reaches the limit; takes what lies above off it.
  template <bool weighed> DEVICE uint32 search(uint64 &limit, uint32 lowest) {
    uint32 key = 0;
    for (int known = 32; known > 0;) {
      const int shift = known > SampleShared::bits ? known - SampleShared::bits : 0; // the last digit has a known bit, too
      histogram<weighed>(key, known, shift, lowest);
      key |= descend(limit) << shift;
      known = shift;
    }
    return key;
  }
  /// sampling::topKCut.
  DEVICE Cut topK(int k) {
    uint64 left = k;
    return {search<false>(left, 0), ~(uint64)0};
  }
  /// sampling::topPCut for a mass in weight's units.
  DEVICE Cut topP(Cut cut, uint64 mass) {
    const uint32 key = search<true>(mass, cut.key);
    const uint64 one = weight(valueOf(key)), ties = mass / one + (mass % one != 0);
    return {key, ties < 1 ? 1 : ties};
  }
  /// What the tokens from a key on weigh.
  DEVICE uint64 massFrom(uint32 key) {
    uint64 sum = 0, total;
    for (int i = begin + threadIdx.x; i < end; i += threads)
      if (orderKey(x[i]) >= key)
        sum += weight(x[i]);
    scan(sum, total);
    return total;
  }
  /// The kept token at which the sum of weights, by rising id, passes the share `bits` * 2^-53 of all; -1 in threads that do
  /// not have it.
  DEVICE int draw(Cut cut, uint64 bits) {
    const int each = ceilDiv(end - begin, threads), from = minInt(begin + (int)threadIdx.x * each, end), to = minInt(from + each, end);
    const uint64 one = cut.key == 0 ? 0 : weight(valueOf(cut.key));
    uint64 equal = 0, mass = 0, total;
    for (int i = from; i < to; ++i) {
      const uint32 key = orderKey(x[i]);
      equal += key == cut.key;
      mass += key > cut.key ? weight(x[i]) : 0;
    }
    const uint64 equalBefore = scan(equal, total), left = cut.ties > equalBefore ? cut.ties - equalBefore : 0;
    uint64 ties = equal < left ? equal : left;
    mass += ties * one;
    uint64 sum = scan(mass, total);
    const uint64 target = highProduct(bits << 11, total);
    if (sum > target || sum + mass <= target)
      return -1;
    for (int i = from; i < to; ++i) {
      const uint32 key = orderKey(x[i]);
      if (key < cut.key || (key == cut.key && ties == 0))
        continue;
      ties -= key == cut.key;
      sum += weight(x[i]);
      if (sum > target)
        return i;
    }
    return -1;
  }
};

/// Grid: (blocks, batch), 1024 threads; clusters of `blocks` blocks in x from sm_90 on (__cluster_dims__). Before, the first
/// block does the work.
template <int blocks> DEVICE void sampleRows(const SampleArguments &a) {
  constexpr int cluster = architecture >= 900 ? blocks : 1;
  __shared__ SampleShared shared;
  launchDependents();
  waitProducers();
  const int row = blockIdx.y, rank = blockIdx.x;
  if (rank >= cluster || (a.lengths && a.lengths[row] == 0))
    return;
  const int each = ceilDiv(a.vocab, cluster), begin = minInt(rank * each, a.vocab);
  const float *x = a.logits + (int64)row * a.vocab;
  const float temperature = a.temperature[row];
  Distribution<cluster> d{shared, x, begin, minInt(begin + each, a.vocab), 0.0f, temperature};
  const int best = argmaxToken(a.best ? a.best[row] : d.findBest()), k = a.topK[row];
  if (best < 0 || !(temperature > 0.0f) || k == 1) {
    if (rank == 0 && threadIdx.x == 0)
      a.token[row] = best;
    return;
  }
  d.largest = x[best];
  Cut cut = {0, ~(uint64)0};
  if (k > 0 && k < a.vocab)
    cut = d.topK(k);
  const float p = a.topP[row];
  if (p < 1.0f)
    cut = d.topP(cut, (uint64)ceil((double)(p > 0.0f ? p : 0.0f) * (double)d.massFrom(cut.key)));
  const int token = d.draw(cut, uniformBits((uint64)a.seed[row], (uint64)a.tokenIndex[row], (uint64)a.row[row]));
  if (token >= 0)
    a.token[row] = token;
}

} // namespace transom::cuda
