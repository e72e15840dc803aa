// Token selection as `transom.sample` defines it (ir/Tokens.td): temperature, top-k, top-p, one draw from Philox4x32-10.
//
// A row is shared by a cluster of blocks (sm_90; one block elsewhere). Nothing is sorted: the kernel walks the
// distribution from the most probable token down by histograms over the bits of the logits, 8 at a time. Counts and
// masses are integers (a token weighs e^((x - largest) / temperature) in units of 2^-44), so that sums do not depend on
// the order in which threads add: the same seed gives the same token each time.
#pragma once

#include "Epilogues.cuh"

namespace transom::cuda {

struct SampleArguments {
  const float *logits;       // [batch, vocab]
  const uint64 *best;        // [batch]: the rows' largest (LogitsEpilogue)
  const float *temperature;  // [batch]; 0: the largest
  const int *topK;           // [batch]; 0: all
  const float *topP;         // [batch]; 1: all
  const int64 *seed;         // [batch]
  const int *step;           // [batch], or one number for all rows where stepStride is 0
  int stepStride;
  int *token;                // [batch]
  int vocab;
};

/// Philox4x32-10's first word for counter (step, 0, 0, 0), its upper 24 bits: u * 2^24.
DEVICE uint32 philoxBits(uint64 seed, uint32 step) {
  uint32 c0 = step, c1 = 0, c2 = 0, c3 = 0, key0 = (uint32)seed, key1 = (uint32)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64 a = (uint64)c0 * 0xd2511f53u, b = (uint64)c2 * 0xcd9e8d57u;
    c0 = (uint32)(b >> 32) ^ c1 ^ key0, c1 = (uint32)b;
    c2 = (uint32)(a >> 32) ^ c3 ^ key1, c3 = (uint32)a;
    key0 += 0x9e3779b9u, key1 += 0xbb67ae85u;
  }
  return c0 >> 8;
}

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

struct Histogram {
  uint32 counts[256];
  uint64 masses[256];
};
/// A prefix of the tokens sorted by falling logit, equal ones by index: all whose key is above `key`, and the first `ties`
/// with that key. mass: the sum of its weights.
struct Prefix {
  uint32 key, ties;
  uint64 mass;
};

template <int cluster_> struct SampleShared {
  static constexpr int cluster = cluster_;
  Histogram first, own, all; // of the highest 8 bits, which every search begins with; a block's; the cluster's
  uint64 massOfWarp[8];
  uint32 countOfWarp[32], found, equal;
  uint64 foundMass;
  uint32 foundCount;
};

/// One row, seen by one block of the cluster: elements [begin, end) are its own.
template <int cluster> struct Distribution {
  static constexpr int threads = 1024;
  SampleShared<cluster> &shared;
  const float *x;
  int begin, end;
  float largest, temperature;

  DEVICE uint64 weight(float v) const {
    float w = v != v ? 0.0f : exp2Fast((v - largest) / temperature * log2E);
    return (uint64)((double)w * 17592186044416.0); // 2^44
  }
  DEVICE float valueOf(uint32 key) const { return __uint_as_float(key >> 31 ? key ^ 0x80000000u : ~key); }

  /// The cluster's histogram of bits [shift, shift + 8) of the keys that agree with `key` above them.
  DEVICE void count(Histogram &into, uint32 key, int shift) {
    for (int i = threadIdx.x; i < 256; i += threads)
      shared.own.counts[i] = 0, shared.own.masses[i] = 0;
    __syncthreads();
    for (int i = begin + threadIdx.x; i < end; i += threads) {
      float v = x[i];
      uint32 k = orderKey(v);
      if (shift < 24 && (k ^ key) >> (shift + 8) != 0)
        continue;
      atomicAdd(&shared.own.counts[k >> shift & 255], 1u);
      if (uint64 w = weight(v))
        atomicAdd((unsigned long long *)&shared.own.masses[k >> shift & 255], (unsigned long long)w);
    }
    syncCluster<cluster>();
    for (int i = threadIdx.x; i < 256; i += threads) {
      uint32 counts = 0;
      uint64 masses = 0;
      for (int rank = 0; rank < cluster; ++rank) {
        counts += readCluster<cluster>(&shared.own.counts[i], rank);
        masses += readCluster<cluster>(&shared.own.masses[i], rank);
      }
      into.counts[i] = counts, into.masses[i] = masses;
    }
    syncCluster<cluster>();
  }

  /// The highest bucket with which the tokens from the top on reach `count` or `mass`, else the lowest with a token.
  /// Takes what lies above it off count and mass.
  DEVICE uint32 descend(const Histogram &h, uint64 &count, uint64 &mass) {
    // Thread i of the first 256 stands for bucket 255 - i.
    int bucket = 255 - (int)threadIdx.x;
    uint64 c = threadIdx.x < 256 ? h.counts[bucket] : 0, m = threadIdx.x < 256 ? h.masses[bucket] : 0;
    uint64 ownCount = c, ownMass = m;
    if (threadIdx.x < 256) {
      UNROLL
      for (int apart = 1; apart < 32; apart <<= 1) {
        uint64 lowerC = __shfl_up_sync(~0u, c, apart), lowerM = __shfl_up_sync(~0u, m, apart);
        if (laneId() >= apart)
          c += lowerC, m += lowerM;
      }
      if (laneId() == 31)
        shared.countOfWarp[warpId()] = (uint32)c, shared.massOfWarp[warpId()] = m;
    }
    if (threadIdx.x == 0)
      shared.found = 1u << 16;
    __syncthreads();
    if (threadIdx.x < 256) {
      for (int w = 0; w < warpId(); ++w)
        c += shared.countOfWarp[w], m += shared.massOfWarp[w];
      if (ownCount != 0) // the first that reaches a limit; failing that, the last: reached ones sort first
        atomicMin(&shared.found, c >= count || m >= mass ? threadIdx.x : (1u << 12) + (255 - threadIdx.x));
    }
    __syncthreads();
    uint32 place = shared.found;
    place = place >= 1u << 12 ? 255 - (place - (1u << 12)) : place;
    if (threadIdx.x == place)
      shared.foundCount = (uint32)(c - ownCount), shared.foundMass = m - ownMass;
    __syncthreads();
    count -= shared.foundCount, mass -= shared.foundMass;
    __syncthreads();
    return 255 - place;
  }

  /// The shortest prefix with `count` tokens or whose mass is `mass` or more; ~0: no limit.
  DEVICE Prefix find(uint64 count, uint64 mass) {
    uint64 countLeft = count, massLeft = mass;
    uint32 key = 0, equal = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
      if (shift < 24)
        this->count(shared.all, key, shift);
      const Histogram &h = shift == 24 ? shared.first : shared.all;
      uint32 bucket = descend(h, countLeft, massLeft);
      equal = h.counts[bucket];
      key |= bucket << shift;
      __syncthreads();
    }
    uint64 one = key == 0 ? 0 : weight(valueOf(key)), ties = countLeft < equal ? countLeft : equal; // they weigh the same
    if (one > 0) {
      uint64 needed = massLeft / one + (massLeft % one != 0);
      ties = needed < ties ? needed : ties;
    }
    ties = ties < 1 ? 1 : ties;
    return {key, (uint32)ties, mass - massLeft + ties * one};
  }

  /// Index of the last token of a prefix; ~0 in blocks that do not have it.
  DEVICE uint32 lastOf(const Prefix &p) {
    int each = ceilDiv(end - begin, threads), from = minInt(begin + (int)threadIdx.x * each, end), to = minInt(from + each, end);
    uint32 own = 0;
    for (int i = from; i < to; ++i)
      own += orderKey(x[i]) == p.key;
    uint32 sum = own;
    UNROLL
    for (int apart = 1; apart < 32; apart <<= 1) {
      uint32 lower = __shfl_up_sync(~0u, sum, apart);
      sum += laneId() >= apart ? lower : 0;
    }
    if (laneId() == 31)
      shared.countOfWarp[warpId()] = sum;
    __syncthreads();
    uint32 before = sum - own, total = 0;
    for (int w = 0; w < threads / 32; ++w) {
      before += w < warpId() ? shared.countOfWarp[w] : 0;
      total += shared.countOfWarp[w];
    }
    if (threadIdx.x == 0)
      shared.equal = total;
    syncCluster<cluster>();
    for (int rank = 0; rank < (int)(blockIdx.x % cluster); ++rank)
      before += readCluster<cluster>(&shared.equal, rank);
    syncCluster<cluster>(); // nobody leaves or goes on while others read
    if (before < p.ties && before + own >= p.ties)
      for (int i = from; i < to; ++i)
        if (orderKey(x[i]) == p.key && ++before == p.ties)
          return (uint32)i;
    return ~0u;
  }
};

/// Grid: (cluster, batch), 1024 threads; clusters of `cluster` blocks in x.
template <int cluster> DEVICE void sampleRows(const SampleArguments &a) {
  __shared__ SampleShared<cluster> shared;
  launchDependents();
  waitProducers();
  const int row = blockIdx.y, rank = blockIdx.x;
  const float temperature = a.temperature[row];
  const int best = argmaxIndex(a.best[row]);
  if (!(temperature > 0.0f)) {
    if (rank == 0 && threadIdx.x == 0)
      a.token[row] = best;
    return;
  }
  const int each = ceilDiv(a.vocab, cluster), begin = minInt(rank * each, a.vocab);
  const float *x = a.logits + (int64)row * a.vocab;
  Distribution<cluster> d{shared, x, begin, minInt(begin + each, a.vocab), x[best], temperature};
  d.count(shared.first, 0, 24);
  const uint64 none = ~(uint64)0, most = a.topK[row] > 0 && a.topK[row] < a.vocab ? a.topK[row] : none;
  // find() returns mass - massLeft, which is right for no limit too: the differences wrap.
  uint64 kept = d.find(most, none).mass;
  if (a.topP[row] < 1.0f)
    kept = d.find(most, (uint64)ceil((double)a.topP[row] * (double)kept)).mass;
  // The running sum must pass u * kept.
  uint64 u = philoxBits((uint64)a.seed[row], (uint32)a.step[row * a.stepStride]);
  uint64 target = (kept >> 24) * u + ((kept & 0xffffff) * u >> 24) + 1;
  uint32 token = d.lastOf(d.find(most, target));
  if (token != ~0u)
    a.token[row] = (int)token;
}

} // namespace transom::cuda
